"""The decisions of a running committee."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.errors import counted

SHOWN = 3  # decisions that are printed


@dataclass(frozen=True, slots=True, repr=False)
class Decisions:
    """The decisions of a committee on n units.

    Parameters
    ----------
    prediction : int64 or text [n]
        Class numbers, or answers as the members gave them; -1 or "" for units without an answer.
    stage : int64 [n]
        Stage at which each unit exits, from 0.
    confidence : float32 [n] or None
        Confidence after the stages that have run; None if the policy uses none. The least float32 number for units for
        which every member failed.
    probabilities : float32 [n, C] or None
        Combined probabilities of the members that have run; None if members give answers. NaN for units for which every
        member failed.
    ran : bool [n, K]
        The stages that each unit has run, of K.
    classes : tuple of str or None
        Names of the classes; None if unknown.
    costs : {name: float64 [n]}
        What each unit has cost: the committee's cost as committee.json charges it (NaN where it does not say), and the
        costs that members report in their `Outputs`, failed calls included. Where a member reports the committee's
        cost, that replaces the number of committee.json.
    failed : bool [n, K], optional
        The stages in which a member failed (`Runtime(.., on_failure='escalate')`); they are in `ran` too.
    """

    prediction: NDArray[np.generic]
    stage: NDArray[np.int64]
    confidence: NDArray[np.float32] | None
    probabilities: NDArray[np.float32] | None
    ran: NDArray[np.bool_]
    classes: tuple[str, ...] | None = None
    costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    failed: NDArray[np.bool_] | None = None

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The decisions on the units of all parts, one part after the other."""
        first, costs = parts[0], sorted({cost for part in parts for cost in part.costs})
        return cls(
            np.concatenate([part.prediction for part in parts]),
            np.concatenate([part.stage for part in parts]),
            _joined([part.confidence for part in parts]),
            _joined([part.probabilities for part in parts]),
            np.concatenate([part.ran for part in parts]),
            first.classes,
            {cost: np.concatenate([part.costs.get(cost, np.zeros(len(part))) for part in parts]) for cost in costs},
            np.concatenate([np.zeros_like(part.ran) if part.failed is None else part.failed for part in parts]),
        )

    @property
    def names(self) -> list[str]:
        """Names of the predicted classes, else their numbers or the answers as text; "" without an answer."""
        known = self.classes
        if self.prediction.dtype.kind == "U":
            return self.prediction.tolist()
        named = ((c, str(c) if known is None else known[c]) for c in self.prediction.tolist())
        return [NO_TEXT if c == NO_CLASS else name for c, name in named]

    def to_json(self) -> dict[str, Any]:
        """The decisions as values of strict JSON: numbers that are not finite are null.

        Returns
        -------
        dict
            "prediction": [n] class numbers or texts, null without an answer; "class": [n] names of the predicted
            classes, or null if the classes have no names; "stage": [n] stage at which each unit exits, from 1 as in
            `evaluate --units`; "confidence": [n], or null if the committee has none; "costs": {name: [n]}; "failed":
            [n] lists of the stages, from 1, in which a member has failed.
        """
        is_named = self.classes is not None and self.prediction.dtype.kind != "U"
        failed = [list[int]() for _ in range(len(self))]
        if self.failed is not None:
            failed = [(np.flatnonzero(stages) + 1).tolist() for stages in self.failed]
        return {
            "prediction": [None if p in (NO_CLASS, NO_TEXT) else p for p in self.prediction.tolist()],
            "class": [name or None for name in self.names] if is_named else None,
            "stage": (self.stage + 1).tolist(),
            "confidence": None if self.confidence is None else _numbers(self.confidence),
            "costs": {name: _numbers(values) for name, values in self.costs.items()},
            "failed": failed,
        }

    def __len__(self) -> int:
        return len(self.prediction)

    def __repr__(self) -> str:
        """The first SHOWN decisions, and the number of units."""
        first = slice(0, SHOWN)
        sure = [""] * SHOWN
        if self.confidence is not None:
            sure = [f", confidence {value:.4g}" for value in self.confidence[first].tolist()]
        rows = zip(self.names[first], self.stage[first].tolist(), sure, strict=False)
        shown = "; ".join(f"{name or 'no answer'} at stage {stage}{sure}" for name, stage, sure in rows)
        return f"<Decisions of {counted(len(self), 'unit')}: {shown}{'; ..' if len(self) > SHOWN else ''}>"


def _numbers(values: NDArray[np.floating]) -> list[float | None]:
    """The values, None in place of those that are not finite."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _joined(parts: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    arrays = [part for part in parts if part is not None]
    return np.concatenate(arrays) if len(arrays) == len(parts) else None
