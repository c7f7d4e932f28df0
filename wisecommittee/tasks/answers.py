"""Answers of paid APIs and language models: right or wrong as text, or graded in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.tasks.task import ExactMatch, ModelOutputs, Task

MAX_STEPS = 1 << 23  # most entries of the envelope


@dataclass(frozen=True, slots=True)
class Answers(ExactMatch):
    """An answer is right if it is the label, compared as text."""

    name = "accuracy"
    label = "accuracy"
    kinds = ("answers",)

    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
        """int32 [.., N]: 1 where the answer is the label."""
        return (predictions == labels.astype(np.str_)).astype(np.int32)


@dataclass(frozen=True, slots=True)
class GradedAnswers(Task):
    """Grades in whole steps of 1 / steps, so that sums are exact integers, as the search needs them.

    steps : the smallest power of ten that holds all grades exactly, or as finely as the number of units allows
    """

    name = "score"
    label = "mean score"
    kinds = ("answers",)

    steps: int

    @classmethod
    def of(cls, models: Sequence[ModelOutputs]) -> Self | None:
        """The task if every model carries grades; if only a few do, answers count as right or wrong (Answers)."""
        if not all(model.kind in cls.kinds and model.graded for model in models):
            return None
        return cls(steps_of([model.grades() for model in models]))

    @property
    def scale(self) -> int:
        return self.steps

    def read(self, model: ModelOutputs) -> NDArray[np.generic]:
        return model.grades()

    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
        """int32 [.., N]: grades in steps."""
        return np.rint(predictions * np.float64(self.steps)).astype(np.int32)

    def shares(self, model: ModelOutputs) -> NDArray[np.float64]:
        """The grades as they are stored, which may be finer than the steps."""
        return model.grades().astype(np.float64)

    def alone(self, model: ModelOutputs) -> float:
        """The mean grade as it is stored, which may be finer than the steps."""
        return float(model.grades().mean(dtype=np.float64))

    def columns(self, statistics: NDArray[np.int32], labels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"score": statistics[:, 0] / self.steps}


def steps_of(grades: Sequence[NDArray[np.float32]]) -> int:
    """The coarsest power of ten, up to 10^6, in whose steps these grades [N] are whole numbers."""
    units = max((len(g) for g in grades), default=1)
    steps = 1
    while steps < 1_000_000 and steps * 10 * units <= MAX_STEPS:
        if all(np.abs(np.rint(g * np.float64(steps)) / steps - g).max(initial=0) < 1e-7 for g in grades):
            break
        steps *= 10
    return steps
