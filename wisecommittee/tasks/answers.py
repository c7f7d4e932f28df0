"""Answers of paid APIs and language models: right or wrong as text, or graded in [0, 1].

Grades are counted in whole steps of 1/scale, the coarsest power of ten that holds them (at most 6 digits), so that sums
are exact and the same search serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_STEPS = 1 << 23  # entries of the envelope


@dataclass(frozen=True, slots=True)
class Answers:
    name: str = "accuracy"
    scale: int = 1

    @classmethod
    def graded(cls, grades: Sequence[NDArray[np.float32]]) -> Answers:
        """The task whose steps hold these grades [N] exactly, or as finely as N units allow."""
        units = max((len(g) for g in grades), default=1)
        scale = 1
        while scale < 1_000_000 and scale * 10 * units <= MAX_STEPS:
            if all(np.abs(np.rint(g * np.float64(scale)) / scale - g).max(initial=0) < 1e-7 for g in grades):
                break
            scale *= 10
        return cls("score", scale)

    def statistics(self, answers: NDArray[np.str_], labels: NDArray[np.generic]) -> NDArray[np.int32]:
        """int32 [..]: 1 where the answer is the label, compared as text."""
        return (answers == labels.astype(np.str_)).astype(np.int32)

    def grade(self, grades: NDArray[np.float32]) -> NDArray[np.int32]:
        return np.rint(grades * np.float64(self.scale)).astype(np.int32)

    def quality(self, total: int, units: int) -> float:
        return total / (units * self.scale)
