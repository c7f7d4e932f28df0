"""The decisions of a deployed committee on a batch of units."""

from __future__ import annotations

from dataclasses import dataclass

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
    prediction : int64 [n]
        Class numbers; -1 for units without an answer, of a committee that abstains.
    stage : int64 [n]
        Stage at which each unit exits, from 0.
    confidence : float32 [n]
        Confidence of the members that have run.
    probabilities : float32 [n, C]
        Probabilities of the members that have run, combined.
    ran : bool [n, K]
        The stages that have run.
    classes : tuple of str or None
        Names of the classes; None if unknown.
    """

    prediction: NDArray[np.int64]
    stage: NDArray[np.int64]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    ran: NDArray[np.bool_]
    classes: tuple[str, ...] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the predicted classes, else their numbers as text; "" without an answer."""
        known = self.classes
        named = ((c, str(c) if known is None else known[c]) for c in self.prediction.tolist())
        return [NO_TEXT if c == NO_CLASS else name for c, name in named]

    def __len__(self) -> int:
        return len(self.prediction)

    def __repr__(self) -> str:
        """The first SHOWN decisions, and the number of units."""
        first = slice(0, SHOWN)
        rows = zip(self.names[first], self.stage[first].tolist(), self.confidence[first].tolist(), strict=True)
        shown = "; ".join(
            f"{name or 'no answer'} at stage {stage}, confidence {sure:.4g}" for name, stage, sure in rows
        )
        return f"<Decisions of {counted(len(self), 'unit')}: {shown}{'; ..' if len(self) > SHOWN else ''}>"
