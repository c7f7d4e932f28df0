"""A committee on real inputs: every stage runs on the units that have not left (Wang et al. 2022, Algorithm 1)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Calibration, as_logits
from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.combine import combine_named, softmax
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.deployment.callables import Called, slices
from wisecommittee.deployment.members import Module, find_card, load_members
from wisecommittee.deployment.replay import REPLAYED, compare_outputs, look_like_probabilities, normalised
from wisecommittee.deployment.replay import replay as replay_units
from wisecommittee.deployment.units import Units
from wisecommittee.errors import CommitteeError, ContentError, UsageError, counted
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.run.forward import Forward, pick_device
from wisecommittee.kernels.stages import direct
from wisecommittee.store import LogitStore, StoreLike, open_store

Rows = NDArray[np.float32]  # [n, C]
SHOWN = 3  # decisions that are printed
TELLING = 4  # rows of logits do not all look like probabilities by chance


@dataclass(frozen=True, slots=True, repr=False)
class Decisions:
    """prediction : int64 [n] class; stage : int64 [n] from 0, where the unit left; confidence : float32 [n] there;
    probabilities : float32 [n, C] of the members that had run; classes : their names, None where nobody knows them."""

    prediction: NDArray[np.int64]
    stage: NDArray[np.int64]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...] | None = None

    @property
    def names(self) -> list[str]:
        """The predicted classes by name, by number where they have none."""
        return [str(c) if self.classes is None else self.classes[c] for c in self.prediction.tolist()]

    def __len__(self) -> int:
        return len(self.prediction)

    def __repr__(self) -> str:
        """What the first units are, and how many there are."""
        first = slice(0, SHOWN)
        rows = zip(self.names[first], self.stage[first].tolist(), self.confidence[first].tolist(), strict=True)
        told = "; ".join(f"{name} at stage {stage}, confidence {sure:.4g}" for name, stage, sure in rows)
        return f"<Decisions of {counted(len(self), 'unit')}: {told}{'; ..' if len(self) > SHOWN else ''}>"


class Deployed:
    """A committee with its modules on a device, until it is closed: `with deploy(committee) as run: run(images)`.

    models : a LoadedModel for every member; classes : names of the classes it decides between, where a model has more
    outputs; batch_size : units in a forward pass; store : whose cards say what the members' outputs are; softmax : put
    one behind members that were chosen on probabilities and give logits; force : run what contradicts the store.
    Members run whole: what they could share is computed by each.
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
        store: LogitStore | None = None,
        softmax: bool = False,
        force: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: expected at least 1")
        if committee.confidence not in CONFIDENCES:
            raise CommitteeError(
                f"{committee.label()}: exits by {committee.confidence!r}, a score kept in the store, which its "
                f"members' outputs do not contain; choose one with --confidence {', '.join(sorted(CONFIDENCES))}"
            )
        self.committee, self.batch_size, self.device = committee, batch_size, pick_device(device)
        self.models = {name: models[name] for name in committee.models}
        self._rule, self._confidence = combine_named(committee.combine), CONFIDENCES[committee.confidence]
        self._thresholds = committee.carried
        self._store, self._softmax, self._force = store, softmax, force
        self.compared = set(committee.models) if force else set()  # members that say what they say in the store
        cards = {name: None if store is None else find_card(store, name) for name in committee.models}
        self._members = {
            name: _Member.of(name, committee, model, classes, cards[name]) for name, model in self.models.items()
        }
        self.classes = tuple(classes) if classes is not None else _class_names(cards.values(), self.models)
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
        """The modules go back to the CPU."""
        self._stack.close()

    def check(self, inputs: Any, unit_ids: Sequence[str], split: str = "val") -> None:
        """CommitteeError unless every member says of these units what it says in the store, but for rounding.

        inputs : as for a call; unit_ids : [n] under which they are in the split.
        """
        if self._store is None:
            raise UsageError(f"{self.committee.label()}: nothing to compare with; deploy it with store=..")
        units = Units.of_inputs(inputs, list(self.models.values()))
        compare_outputs(self, units, list(unit_ids), self._store, split)

    def __call__(self, inputs: torch.Tensor | Units | Sequence[Any]) -> Decisions:
        """inputs : [n, ..] as every member takes them, or n images (PIL, or uint8 [H, W, 3]) for their own
        preprocessing; functions among the members get them as they are. The units that are left after a stage run
        together, whatever batch they came in."""
        units = Units.of_inputs(inputs, list(self.models.values()))
        n = len(units)
        prediction, stage = np.empty(n, np.int64), np.empty(n, np.int64)
        confidence = np.empty(n, np.float32)
        left = np.arange(n)
        probabilities: Rows | None = None
        rows: dict[str, Rows] = {}  # what each member that has run adds to the sum, for the units that are left
        for k, names in enumerate(self.committee.stages):
            if not len(left):
                break
            rows |= {name: self._rows(name, units) for name in names}
            said, sure = self._judged(rows)
            stays = np.zeros(len(left), bool)
            if k < len(self._thresholds):
                stays = ~(sure >= self._thresholds[k])
            leaves = left[~stays]
            if probabilities is None:
                probabilities = np.empty((n, next(iter(rows.values())).shape[1]), np.float32)
            probabilities[leaves] = self._probabilities({name: row[~stays] for name, row in rows.items()})
            prediction[leaves], confidence[leaves], stage[leaves] = said[~stays], sure[~stays], k
            if stays.any() and not stays.all():
                rows = {name: row[stays] for name, row in rows.items()}
                units = units.only(np.flatnonzero(stays))
            left = left[stays]
        found = np.empty((0, 0), np.float32) if probabilities is None else probabilities
        classes = self.classes if self.classes is not None and len(self.classes) == found.shape[1] else None
        return Decisions(prediction, stage, self._confidence.scale.shown(confidence), found, classes)

    def kind(self, name: str) -> str:
        """Of a member's outputs, 'logits' or 'probabilities'."""
        return self._members[name].kind

    def outputs(self, name: str, units: Units) -> Rows:
        """What a member says, float32 [n, C], as it would stand in the store."""
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
        """Outputs of the kind that the committee was chosen on; CommitteeError where they are of the other."""
        if self._members[name].kind == "probabilities":
            if look_like_probabilities(outputs):
                return normalised(outputs)
            if self._softmax:
                return softmax(outputs)
            if not self._force:
                raise CommitteeError(
                    f"{name}: the committee was chosen on its probabilities, and it gives logits here (rows that do "
                    f"not sum to 1); end it with a softmax, or have one put behind it with --softmax (softmax=True)"
                )
        elif name not in self.compared and len(outputs) >= TELLING and look_like_probabilities(outputs):
            raise CommitteeError(
                f"{name}: the committee was chosen on its logits, and what it gives here are probabilities; leave out "
                f"its softmax; if it had one when it was extracted, deploy it with the store, or with force"
            )
        return outputs

    def _rows(self, name: str, units: Units) -> Rows:
        """Summands float32 [n, C] of a member."""
        member, outputs = self._members[name], self.outputs(name, units)
        if member.calibration is not None:
            outputs = member.calibration.rows(as_logits(outputs, member.kind))
        return self._rule.summand[member.rows_kind](outputs.astype(np.float32, copy=False))

    def _voices(self, rows: Mapping[str, Rows]) -> list[str]:
        """The members that have run and whose sum decides, in its order."""
        ran = list(rows)
        return ran[-1:] if self._rule.ordered else sorted(ran, key=lambda name: self._members[name].order)

    def _probabilities(self, rows: Mapping[str, Rows]) -> Rows:
        """float32 [n, C] of the members that have run, together."""
        names = self._voices(rows)
        total = rows[names[0]].copy()
        for name in names[1:]:
            total += rows[name]
        mean = total / np.float32(len(names))
        return softmax(mean) if self._rule.space[self._members[names[-1]].rows_kind] == "logits" else mean

    def _judged(self, rows: Mapping[str, Rows]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Prediction [n] and confidence [n], as it is carried, of the members that have run.

        By the kernel that made the stage tables.
        """
        names = self._voices(rows)
        if len({rows[name].shape[1] for name in names}) > 1:
            counts = ", ".join(f"{name} {rows[name].shape[1]:,}" for name in names)
            raise ContentError(f"the members have different numbers of classes: {counts}; name the common ones")
        summands = np.stack([rows[name] for name in names], axis=1)  # [n, members, C]
        n, size, classes = summands.shape
        spaces = [self._rule.space[self._members[name].rows_kind] for name in names]
        wanted = self._confidence.needs(spaces[-1])
        order = np.arange(size)
        said, gathered = np.empty((size, n), np.int32), np.empty((len(wanted), 1, n), np.float32)
        direct.walk(
            summands,
            np.full(n, -1),
            order - 1,
            order,
            order + 1,
            np.array([space == "logits" for space in spaces]),
            np.where(order == size - 1, 0, -1),
            sum(1 << i for i, name in enumerate(direct.STATISTICS) if name in wanted),
            np.empty((size + 1, classes), np.float32),
            np.empty((size, n), np.uint8),
            said,
            gathered,
        )
        names = [name for name in direct.STATISTICS if name in wanted]
        statistics = {name: values[0] for name, values in zip(names, gathered, strict=True)}
        return said[-1], self._confidence(statistics, spaces[-1])


@dataclass(frozen=True, slots=True)
class _Member:
    """order : its place in every sum; kind : of its outputs; columns : the outputs that are used, None for all."""

    order: tuple[str, int, str]
    kind: str
    calibration: Calibration | None
    columns: NDArray[np.int64] | None

    @classmethod
    def of(
        cls,
        name: str,
        committee: Committee,
        model: LoadedModel,
        classes: Sequence[str] | None,
        card: StoredCard | None,
    ) -> _Member:
        recorded = committee.members.get(name, {})
        kind = str(recorded.get("kind") or (card.kind if card is not None else "logits"))
        if kind not in ("logits", "probabilities"):
            raise CommitteeError(f"{name}: its outputs are {kind}, which no module computes here")
        calibration = recorded.get("calibration")
        if classes is None:
            columns = _columns(card, model)
        elif model.classes:
            columns = model.columns(classes)
        else:
            columns = None
        return cls(
            (model.architecture, model.replica, name),
            kind,
            Calibration.from_json(calibration) if calibration else None,
            columns,
        )

    @property
    def rows_kind(self) -> str:
        """Calibrated probabilities have become logits."""
        return "logits" if self.calibration is not None else self.kind


def _columns(card: StoredCard | None, model: LoadedModel) -> NDArray[np.int64] | None:
    """The outputs that were stored, as the card says, or by the names of its classes; None for all."""
    if card is None:
        return None
    listed = card.meta.get("columns")
    if isinstance(listed, list) and listed and all(type(column) is int and column >= 0 for column in listed):
        return np.array(listed, np.int64)
    if card.class_names and "data" not in card.meta and "given" in model.classes:
        return model.columns(card.class_names)
    return None


def _class_names(cards: Iterable[StoredCard | None], models: Mapping[str, LoadedModel]) -> tuple[str, ...] | None:
    """Names of the classes, from the cards, else from estimators and factories that say theirs."""
    for card in cards:
        if card is not None and card.class_names:
            return card.class_names
    given = [model.classes["given"] for model in models.values() if "given" in model.classes]
    return given[0] if given and all(names == given[0] for names in given) else None


def deploy(
    committee: Committee | str | os.PathLike[str],
    models: Mapping[str, Module] | None = None,
    *,
    store: StoreLike | None = None,
    data: str | Data | None = None,
    replay: int = REPLAYED,
    preprocess: str | None = None,
    trust: bool = False,
    force: bool = False,
    **options: Any,
) -> Deployed:
    """A committee, or its committee.json, ready to run.

    models : {member: spec, torch module, function or scikit-learn estimator}; store : where the cards of the others say
    what they were extracted from; replay : units of val whose stored outputs are compared with those of the members
    first, 0 for none; data : what val was extracted from, by default what the cards say; preprocess : spec of the model
    whose preprocessing serves those that bring none; trust : run Python modules and programs (.pt2, .ts) that only a
    card names, which anybody may have written; force : also with other weights and outputs than those it was chosen
    with; options : see Deployed (device, precision, batch_size, classes, softmax).
    """
    if replay < 0:
        raise UsageError(f"replay {replay}: expected a number of units, 0 for none")
    store = None if store is None else open_store(store)
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    loaded = load_members(
        chosen.models, models, store, preprocess=preprocess, recorded=chosen.members, trust=trust, force=force
    )
    run = Deployed(chosen, loaded, store=store, force=force, **options)
    if store is not None and replay and not force:
        try:
            replay_units(run, store, data, trust=trust, units=replay)
        except BaseException:
            run.close()
            raise
    return run
