"""One model on one split, as a task reads it, straight from the store. No kernels are used: loading them takes longer
than scoring one model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.store import LogitStore
from wisecommittee.tasks import task_of
from wisecommittee.tasks.classification import predicted_classes


@dataclass(frozen=True, slots=True)
class SplitModel:
    """What tasks read of a model on a split (tasks.ModelOutputs).

    rows : int64 [n], the units that count, as positions in the split; None: all
    """

    store: LogitStore
    split: str
    card: StoredCard
    rows: NDArray[np.int64] | None = None

    @property
    def kind(self) -> str:
        return self.card.kind

    @property
    def classes(self) -> int | None:
        return self.card.contents.classes

    @property
    def graded(self) -> bool:
        return self.card.contents.graded

    @property
    def meta(self) -> Mapping[str, Any]:
        return self.card.meta

    @property
    def labels_from(self) -> str | None:
        return self.store.labels_from

    def labels(self) -> NDArray[np.generic]:
        return self._counted(self.store.labels(self.split))

    def predictions(self) -> NDArray[np.generic]:
        """int64 [N] classes, or answers as text."""
        if self.kind == "answers":
            return self._counted(self.store.answers(self.card.model, self.split))
        return predicted_classes(self.outputs())

    def grades(self) -> NDArray[np.float32]:
        return self._counted(self.store.quality(self.card.model, self.split))

    def outputs(self) -> NDArray[np.generic]:
        return self._counted(self.store.outputs(self.card.model, self.split))

    def _counted(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.rows is None else values[self.rows]


def model_quality(store: LogitStore, split: str, card: StoredCard) -> float | None:
    """The quality of one model by itself, in [0, 1]: accuracy, mean grade or mIoU; None for a split without labels."""
    model = SplitModel(store, split, card)
    return task_of([model]).alone(model) if model.graded or store.has_labels(split) else None
