"""Outputs of the members of a committee, and their combination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.combine import Combine, normalised_logs, softmax
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import Confidence
from wisecommittee.errors import CommitteeError, ContentError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.kernels.stages import direct

Rows = NDArray[np.float32]  # [n, C]


@dataclass(frozen=True, slots=True)
class MemberOutputs:
    """How the outputs of a member enter the committee.

    Parameters
    ----------
    order : (architecture, replica, model)
        Members are summed in this order.
    kind : str
        'logits' or 'probabilities'.
    calibration : Calibration or None
        Applied to the outputs first.
    columns : int64 [C] or None
        The outputs that are used; None for all of them.
    """

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
    ) -> MemberOutputs:
        """How a member's outputs enter a committee, from committee.json, the loaded model and its card."""
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
        """The kind after calibration, which turns probabilities into logits."""
        return "logits" if self.calibration is not None else self.kind


def _columns(card: StoredCard | None, model: LoadedModel) -> NDArray[np.int64] | None:
    """Numbers of the outputs that were stored, from the card or by the names of its classes; None for all."""
    if card is None:
        return None
    listed = card.meta.get("columns")
    if isinstance(listed, list) and listed and all(type(column) is int and column >= 0 for column in listed):
        return np.array(listed, np.int64)
    if card.class_names and "data" not in card.meta and "given" in model.classes:
        return model.columns(card.class_names)
    return None


def class_names(cards: Iterable[StoredCard | None], models: Mapping[str, LoadedModel]) -> tuple[str, ...] | None:
    """Names of the classes: of the first card that has them, else of the models if all agree; None if unknown."""
    for card in cards:
        if card is not None and card.class_names:
            return card.class_names
    given = [model.classes["given"] for model in models.values() if "given" in model.classes]
    return given[0] if given and all(names == given[0] for names in given) else None


@dataclass(frozen=True, slots=True)
class Combination:
    """Combines the members that have run into prediction, confidence and probabilities."""

    rule: Combine
    confidence: Confidence
    members: Mapping[str, MemberOutputs]

    def _deciding(self, rows: Mapping[str, Rows]) -> list[str]:
        """The members that have run and whose sum decides, in the order in which it is summed."""
        ran = list(rows)
        return ran[-1:] if self.rule.ordered else sorted(ran, key=lambda name: self.members[name].order)

    def probabilities(self, rows: Mapping[str, Rows]) -> Rows:
        """float32 [n, C] of the members that have run, combined."""
        names = self._deciding(rows)
        total = rows[names[0]].copy()
        for name in names[1:]:
            total += rows[name]
        mean = total / np.float32(len(names))
        return softmax(mean) if self.rule.space[self.members[names[-1]].rows_kind] == "logits" else mean

    def log_probabilities(self, rows: Mapping[str, Rows]) -> dict[str, Rows]:
        """float32 [n, C] of each member that has run, by itself: logarithms of its probabilities."""
        spaces = {name: self.rule.space[self.members[name].rows_kind] for name in rows}
        return {name: normalised_logs(values, spaces[name]) for name, values in rows.items()}

    def judge(self, rows: Mapping[str, Rows]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Prediction [n] and confidence [n], as it is carried, of the members that have run, combined.

        By the kernel that makes the stage tables, so that both decide alike to the last bit.
        """
        names = self._deciding(rows)
        if len({rows[name].shape[1] for name in names}) > 1:
            counts = ", ".join(f"{name} {rows[name].shape[1]:,}" for name in names)
            raise ContentError(f"the members have different numbers of classes: {counts}; name the common ones")
        summands = np.stack([rows[name] for name in names], axis=1)  # [n, members, C]
        n, size, classes = summands.shape
        spaces = [self.rule.space[self.members[name].rows_kind] for name in names]
        wanted = self.confidence.needs(spaces[-1])
        order, logit_space = np.arange(size), np.array([space == "logits" for space in spaces])
        prediction, gathered = np.empty((size, n), np.int32), np.empty((len(wanted), 1, n), np.float32)
        direct.walk(
            summands,
            np.full(n, -1),
            direct.Trie(order - 1, order, order + 1, logit_space, np.where(order == size - 1, 0, -1)),
            sum(1 << i for i, name in enumerate(direct.STATISTICS) if name in wanted),
            np.empty((size + 1, classes), np.float32),
            direct.WalkOutputs(np.empty((size, n), np.uint8), prediction, gathered),
        )
        names = [name for name in direct.STATISTICS if name in wanted]
        statistics = {name: values[0] for name, values in zip(names, gathered, strict=True)}
        return prediction[-1], self.confidence(statistics, spaces[-1])
