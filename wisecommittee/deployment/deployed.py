"""Runs a committee on real inputs: every stage on the units that have not exited (Wang et al. 2022, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.calibration import as_logits
from wisecommittee.committees.combine import combine_named, softmax
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.walk import walk
from wisecommittee.deployment.batch import DeployedBatch, Known
from wisecommittee.deployment.callables import Called, slices
from wisecommittee.deployment.decisions import Decisions
from wisecommittee.deployment.members import find_card
from wisecommittee.deployment.outputs import Combination, MemberOutputs, Rows, class_names
from wisecommittee.deployment.replay import compare_outputs, look_like_probabilities, normalised
from wisecommittee.deployment.units import Units
from wisecommittee.errors import CommitteeError, UsageError, option
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.run.forward import Forward, pick_device
from wisecommittee.store import LogitStore

TELLING = 4  # this many rows of logits do not all look like probabilities by chance


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


class Deployed:
    """A committee whose modules are on a device until it is closed: `with deploy(committee) as run: run(images)`.

    Every member runs whole, also where members have blocks in common: those are computed once for each member.

    Parameters
    ----------
    committee : Committee
    models : {model: LoadedModel}
        Every member.
    device : str
        'auto', 'cpu', 'cuda', ..: where the modules run.
    precision : str
        Precision of the forward passes, as of `extract`.
    batch_size : int
        Units in a forward pass.
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

    def __init__(
        self,
        committee: Committee,
        models: Mapping[str, LoadedModel],
        *,
        device: str = "auto",
        precision: str = "float32",
        batch_size: int = 256,
        classes: Sequence[str] | None = None,
        checks: OutputChecks = OutputChecks(),
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: expected at least 1")
        if committee.confidence not in CONFIDENCES:
            raise CommitteeError(
                f"{committee.label()}: exits by {committee.confidence!r}, a score kept in the store, which its "
                f"members' outputs do not contain; choose one with {option('confidence')} "
                f"({', '.join(sorted(CONFIDENCES))})"
            )
        self.committee, self.batch_size, self.device = committee, batch_size, pick_device(device)
        self.models = {name: models[name] for name in committee.models}
        self._checks = checks
        self.compared = set(committee.models) if checks.force else set()  # members known to give the stored outputs
        store = checks.store
        cards = {name: None if store is None else find_card(store, name) for name in committee.models}
        self._members = {
            name: MemberOutputs.of(name, committee, model, classes, cards[name]) for name, model in self.models.items()
        }
        rule, confidence = combine_named(committee.combine), CONFIDENCES[committee.confidence]
        self.combination = Combination(rule, confidence, self._members)
        self.classes = tuple(classes) if classes is not None else class_names(cards.values(), self.models)
        self._stack = ExitStack()
        try:
            self._forwards: dict[str, Forward | Called] = {
                name: model.module
                if isinstance(model.module, Called)
                else self._stack.enter_context(Forward(model.module, name, self.device, precision=precision))
                for name, model in self.models.items()
            }
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
        units = Units.of_inputs(inputs, list(self.models.values()))
        compare_outputs(self, units, list(unit_ids), self._checks.store, split)

    def __call__(
        self,
        inputs: torch.Tensor | Units | Sequence[Any],
        unit_ids: Sequence[str] | None = None,
        features: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> Decisions:
        """Run the committee: every stage on the units that the policy sends to it (committees/walk.py).

        Parameters
        ----------
        inputs : [n, ..]
            A tensor or array as every member takes it, or n images (PIL, or uint8 [H, W, 3]) for the members'
            preprocessing; functions among the members get the inputs unchanged.
        unit_ids : text [n], optional
            Needed only if the policy decides by unit ids.
        features : {column: [n]}, optional
            What is known of the units before any model runs: numbers, or text of categories. Needed only if the policy
            decides by features.

        Returns
        -------
        Decisions
            Prediction, stage, confidence and probabilities of the n units.

        Raises
        ------
        UsageError
            The policy decides by unit ids or features, and there are not n of them.
        CommitteeError
            A member gives outputs of another kind or number than the committee was chosen on.
        """
        units = Units.of_inputs(inputs, list(self.models.values()))
        n, k = len(units), len(self.committee.stages)
        known = Known.of(self.committee, unit_ids, features, n)
        prediction, stage = np.empty(n, np.int64), np.empty(n, np.int64)
        confidence, ran = np.empty(n, np.float32), np.zeros((n, k), np.bool_)
        probabilities = np.empty((0, 0), np.float32)
        whole = self.committee
        for route, batch, exits, answer, _ in walk(whole, DeployedBatch(self, whole, np.arange(n), units, known)):
            at = batch.index[exits]
            combined = self.combination.probabilities({name: rows[exits] for name, rows in batch.rows.items()})
            if not probabilities.size:
                probabilities = np.empty((n, combined.shape[1]), np.float32)
            probabilities[at] = combined
            prediction[at] = batch.prediction[exits] if answer is None else answer
            confidence[at] = batch.scores[-1][exits]
            if isinstance(whole.policy, Mixing):
                route = whole.policy.in_stages(batch.committee, route)
            stage[at], ran[at[:, None], list(route)] = route[-1], True
        classes = self.classes if self.classes is not None and len(self.classes) == probabilities.shape[1] else None
        return Decisions(
            prediction, stage, self.combination.confidence.scale.shown(confidence), probabilities, ran, classes
        )

    def kind(self, name: str) -> str:
        """Kind of a member's outputs: 'logits' or 'probabilities'."""
        return self._members[name].kind

    def outputs(self, name: str, units: Units) -> Rows:
        """Outputs float32 [n, C] of a member, in the kind and with the columns of the stored outputs."""
        member, forward = self._members[name], self._forwards[name]
        parts = [forward(part) for part in slices(units.of(self.models[name]), self.batch_size)]
        outputs = self._as_chosen(name, parts[0] if len(parts) == 1 else np.concatenate(parts))
        if member.columns is None:
            return outputs
        if member.columns.max() >= outputs.shape[1]:
            raise CommitteeError(
                f"{name}: {outputs.shape[1]} outputs; the committee uses number {member.columns.max()} of them"
            )
        return outputs[:, member.columns]

    def _as_chosen(self, name: str, outputs: Rows) -> Rows:
        """Outputs of the kind that the committee was chosen on; CommitteeError for the other kind."""
        if self._members[name].kind == "probabilities":
            if look_like_probabilities(outputs):
                return normalised(outputs)
            if self._checks.softmax:
                return softmax(outputs)
            if not self._checks.force:
                raise CommitteeError(
                    f"{name}: the committee was chosen on its probabilities, and it gives logits here (rows that do "
                    f"not sum to 1); end it with a softmax, or have one put behind it with {option('softmax', True)}"
                )
        elif name not in self.compared and len(outputs) >= TELLING and look_like_probabilities(outputs):
            raise CommitteeError(
                f"{name}: the committee was chosen on its logits, and what it gives here are probabilities; leave out "
                f"its softmax; if it had one when it was extracted, deploy it with the store, or with force"
            )
        return outputs

    def summands(self, name: str, units: Units) -> Rows:
        """float32 [n, C]: the rows of a member that are summed to decide."""
        member, outputs = self._members[name], self.outputs(name, units)
        if member.calibration is not None:
            outputs = member.calibration.rows(as_logits(outputs, member.kind))
        return self.combination.rule.summand[member.rows_kind](outputs.astype(np.float32, copy=False))
