"""A runtime whose members are torch modules on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.deployment.callables import Called
from wisecommittee.deployment.chains import chains_of
from wisecommittee.deployment.members import find_card
from wisecommittee.deployment.memberships import class_names, membership
from wisecommittee.deployment.replay import compare_outputs
from wisecommittee.deployment.sharing import SharingMember
from wisecommittee.deployment.units import Units
from wisecommittee.errors import CommitteeError, UnknownNameError, UsageError, option
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.run.forward import Forward, pick_device
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.members import Member
from wisecommittee.runtime.membership import Membership
from wisecommittee.runtime.runtime import Runtime
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class OutputChecks:
    """What the members' outputs have to agree with.

    Parameters
    ----------
    store : LogitStore, optional
        Its cards say whether members give logits or probabilities, and which of their outputs the committee uses.
    softmax : bool
        Put a softmax behind members that were chosen on probabilities and give logits.
    force : bool
        Run members whose outputs contradict the store.
    """

    store: LogitStore | None = None
    softmax: bool = False
    force: bool = False


LAYOUTS = ("contiguous", "channels_last")
IN_CALLS = 256  # units in a call of a function


def pass_size(device: torch.device) -> int:
    """Units in a forward pass. On a CPU few: what the layers of many units give leaves the caches, and its memory is
    asked of the system at every layer (a ResNet-50 takes 1.5 to 2 times as long per unit in passes of 64 as of 8)."""
    return 16 if device.type == "cpu" else 256


class Deployed(Runtime):
    """A committee whose modules are on a device until it is closed: `with deploy(committee) as run: run(images)`.

    Blocks that several members begin with run once for each unit, where their modules say what their blocks are
    (chains.py); other members run whole. With such members at most the units of a forward pass are under way at a time,
    because what the blocks gave is kept on the device.

    Parameters
    ----------
    committee : Committee
    models : {model: LoadedModel}
        Every member.
    device : str
        'auto', 'cpu', 'cuda', ..: where the modules run.
    precision : str
        Precision of the forward passes, as of `extract`.
    batch_size : int, optional
        Units in a forward pass, and in a call of a function; by default `pass_size` in passes, 256 in calls.
    layout : str
        'contiguous' or 'channels_last', of images and of the weights that meet them. Convolutions are often faster with
        the second (a MobileNetV3 by a third, on a CPU); their outputs differ by rounding.
    classes : sequence of str, optional
        Names of the classes that the committee decides between, where a model has more outputs.
    checks : OutputChecks

    Raises
    ------
    UsageError
        The batch size is below 1.
    CommitteeError
        The committee exits by a stored score, or a member gives outputs that the committee cannot use.
    """

    preprocesses: ClassVar[bool] = True

    def __init__(
        self,
        committee: Committee,
        models: Mapping[str, LoadedModel],
        *,
        device: str = "auto",
        precision: str = "float32",
        batch_size: int | None = None,
        layout: str = "contiguous",
        classes: Sequence[str] | None = None,
        checks: OutputChecks = OutputChecks(),
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch size {batch_size}: expected at least 1")
        if layout not in LAYOUTS:
            raise UnknownNameError("layout", layout, LAYOUTS)
        if committee.confidence not in CONFIDENCES:
            raise CommitteeError(
                f"{committee.label()}: exits by {committee.confidence!r}, a score kept in the store, which its "
                f"members' outputs do not contain; choose one with {option('confidence')} "
                f"({', '.join(sorted(CONFIDENCES))})"
            )
        self.models = {name: models[name] for name in committee.models}
        self.device, self._checks = pick_device(device), checks
        self.pass_size = batch_size or pass_size(self.device)
        store = checks.store
        self._cards = {name: None if store is None else find_card(store, name) for name in committee.models}
        self._chosen_classes = classes
        self._stack = ExitStack()
        chains = chains_of(self.models)  # compared on the CPU
        try:
            forwards = {
                name: self._stack.enter_context(
                    Forward(model.module, name, self.device, precision=precision, layout=layout)
                )
                for name, model in self.models.items()
                if not isinstance(model.module, Called)
            }
            self.sharing = {
                name: SharingMember(self.models[name], forwards[name], chain) for name, chain in chains.items()
            }
            calls: dict[str, Callable[[Any], Any]] = {**forwards, **self.sharing}
            modules = {name: Member(call, batch_size=self.pass_size) for name, call in calls.items()}
            functions = {name: m.module.call for name, m in self.models.items() if isinstance(m.module, Called)}
            named = class_names(self._cards.values(), self.models) if classes is None else classes
            super().__init__(committee, modules | functions, batch_size=batch_size or IN_CALLS, classes=named)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Move the modules back to the CPU."""
        self._stack.close()

    def check(self, inputs: Any, unit_ids: Sequence[str], split: str = "val") -> None:
        """CommitteeError unless every member's outputs for these units equal those in the store, up to rounding.

        Parameters
        ----------
        inputs : [n, ..]
            As for a call.
        unit_ids : text [n]
            Ids of these units in the split.
        split : str
        """
        if self._checks.store is None:
            raise UsageError(f"{self.committee.label()}: nothing to compare with; deploy it with store=..")
        compare_outputs(self, self.units(inputs), list(unit_ids), self._checks.store, split)

    def units(self, inputs: Any) -> Units:
        """The inputs of a call, in the forms that the members take.

        Parameters
        ----------
        inputs : [n, ..]
            A tensor or array as every member takes it, or n images (PIL, or uint8 [H, W, 3]) for the members'
            preprocessing; functions among the members get the inputs unchanged.
        """
        return Units.of_inputs(inputs, list(self.models.values()))

    def inputs_of(self, name: str, inputs: Units) -> Any:
        """The inputs as a member takes them: preprocessed; of a member that shares blocks, with what these gave."""
        return inputs if name in self.sharing else inputs.of(self.models[name])

    def __call__(
        self,
        inputs: Any,
        unit_ids: Sequence[str] | None = None,
        features: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> Decisions:
        units = self.units(inputs)
        if not self.sharing or len(units) <= self.pass_size:
            return super().__call__(units, unit_ids, features)
        known = Known.of(self.committee, unit_ids, features, len(units))
        parts = []
        for rows in np.split(np.arange(len(units)), range(self.pass_size, len(units), self.pass_size)):
            part = known.only(rows)
            ids = None if part.unit_ids is None else part.unit_ids.tolist()
            parts.append(super().__call__(units.only(rows), ids, part.features))
        return Decisions.joined(parts)

    def kind(self, name: str) -> str:
        """Kind of a member's outputs: 'logits' or 'probabilities'."""
        return self.combination.members[name].kind

    def as_stored(self, name: str, units: Units) -> NDArray[np.float32]:
        """Outputs float32 [n, C] of a member, in the kind and with the columns of the stored outputs."""
        return self.combination.members[name].as_stored(self.outputs(name, units).rows)

    def trust_kind(self, name: str) -> None:
        """Take the outputs of a member for those that the committee was chosen on, whatever they look like."""
        members = {**self.combination.members, name: self.combination.members[name].of_known_kind()}
        self.combination = replace(self.combination, members=members)

    def _membership(self, name: str, given: Any) -> Membership:
        entered = membership(name, self.committee, self.models[name], self._chosen_classes, self._cards[name])
        return replace(entered, softmax=self._checks.softmax, force=self._checks.force)
