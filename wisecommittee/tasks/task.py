"""A task: the contract between the scoring of predictions and the search, which knows nothing else of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.tasks.intervals import bootstrap_intervals

Interval = tuple[float, float]


class ModelOutputs(Protocol):
    """The stored data of one model on one split, as tasks read them.

    kind : 'logits', 'probabilities', 'answers' or 'cell_counts'; classes : columns of the outputs, None for answers;
    graded : whether answers carry a grade in [0, 1]; meta : free facts of the model's card; labels_from : the model
    whose predictions are the labels, None for those of the split
    """

    @property
    def kind(self) -> str: ...
    @property
    def classes(self) -> int | None: ...
    @property
    def graded(self) -> bool: ...
    @property
    def meta(self) -> Mapping[str, Any]: ...
    @property
    def labels_from(self) -> str | None: ...

    def labels(self) -> NDArray[np.generic]:
        """[N] in unit order."""

    def predictions(self) -> NDArray[np.generic]:
        """[N] the classes with the largest output, or answers as text."""

    def grades(self) -> NDArray[np.float32]:
        """float32 [N] in [0, 1]."""

    def outputs(self) -> NDArray[np.generic]:
        """[N, C] as stored."""


class Task(ABC):
    """Turns predictions into integer statistics that add over units, and their sum into a quality.

    A task with one statistic per unit defines `name`, `label`, `kinds` and `statistics`, and `scale` if a unit can be
    worth more than 1; everything else follows from these.

    name : in JSON and in TASKS; label : name of the quality on axes and in headings; kinds : kinds of outputs that the
    task scores. exact_match : the statistic of a unit is 1 if its prediction is its label, else 0: the stage kernels
    then compute it.
    """

    __slots__ = ()

    name: ClassVar[str]
    label: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    exact_match: ClassVar[bool] = False

    @classmethod
    def of(cls, models: Sequence[ModelOutputs]) -> Self | None:
        """The task for these models on one split; None if it does not fit them."""
        return cls() if all(model.kind in cls.kinds for model in models) else None

    @property
    def measure(self) -> str:
        """The name of the quality in tables of figures."""
        return "accuracy"

    @property
    def width(self) -> int:
        """S, the number of statistics of a unit. Where it is 1, totals are counted exactly in one integer envelope."""
        return 1

    @property
    def scale(self) -> int:
        """The statistic of a fully right unit, where S = 1."""
        return 1

    @property
    def counts(self) -> bool:
        """Whether the statistic of a unit is 0 or 1: it is wrong or right."""
        return self.width == 1 and self.scale == 1

    def read(self, model: ModelOutputs) -> NDArray[np.generic]:
        """The stored data of one model that `statistics` scores: its predictions [N], unless the task has data of its
        own in the store."""
        return model.predictions()

    @abstractmethod
    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
        """int32 [.., N] statistics of predictions [.., N] as `read` gives them; [N, S] where S > 1."""

    def quality(self, totals: NDArray[np.integer], units: int) -> NDArray[np.float64]:
        """float64 [..] in [0, 1]: quality of totals [.., S] over this many units."""
        return np.asarray(totals[..., 0] / (units * self.scale))

    def alone(self, model: ModelOutputs) -> float:
        """The quality of one model by itself."""
        statistics = self.statistics(self.read(model), model.labels())
        totals = statistics.reshape(len(statistics), self.width).sum(axis=0, dtype=np.int64)
        return float(self.quality(totals, len(statistics)))

    def shares(self, model: ModelOutputs) -> NDArray[np.float64]:
        """float64 [N]: how right one model by itself is on each unit, in [0, 1], where S = 1."""
        return self.statistics(self.read(model), model.labels()) / np.float64(self.scale)

    def worth(self, statistics: NDArray[np.integer]) -> NDArray[np.float64]:
        """float64 [N]: what each unit contributes, from statistics [N, S]; the mean is the quality. Where quality is no
        mean over units it is linearised (the delta method)."""
        return np.asarray(statistics[:, 0] / np.float64(self.scale))

    def correct(self, totals: NDArray[np.integer]) -> float:
        """The number of units that are right, from totals [S]; of graded units, the number of fully right units of the
        same worth."""
        total = int(totals[0])
        return total if self.scale == 1 else total / self.scale

    def intervals(self, statistics: NDArray[np.int32]) -> Sequence[Interval | None]:
        """95 % intervals of the quality of n committees, from the statistics [n, N, S] of every unit where it exits.

        None stands for the Wilson interval of `correct` out of N, for units that are right or wrong.
        """
        if self.counts:
            return [None] * len(statistics)
        bounds = bootstrap_intervals(statistics[..., 0])
        return [(low / self.scale, high / self.scale) for low, high in bounds]

    def columns(self, statistics: NDArray[np.int32], labels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Columns of a table of units beside the predictions, from statistics [N, S]."""
        worth = statistics[:, 0]
        return {"label": labels} | ({"correct": worth != 0} if self.counts else {"score": worth / self.scale})


@dataclass(frozen=True, slots=True)
class ExactMatch(Task):
    """A unit is right if its prediction is its label.

    labels_from : as of ModelOutputs
    """

    exact_match = True

    labels_from: str | None = None

    @classmethod
    def of(cls, models: Sequence[ModelOutputs]) -> Self | None:
        return cls(models[0].labels_from) if all(model.kind in cls.kinds for model in models) else None

    @property
    def measure(self) -> str:
        return "accuracy" if self.labels_from is None else agreement_with(self.labels_from)


def agreement_with(model: str) -> str:
    """The name of the quality where the labels are the predictions of a model."""
    return f"agreement with {model}"
