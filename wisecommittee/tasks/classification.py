"""Classification: a unit is right or wrong; quality is top-1 accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Classification(Task):
    name = "top-1"
    label = "top-1 accuracy"
    kinds = ("logits", "probabilities")
    exact_match = True

    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
        """int32 [.., N]: 1 where the predicted class is the label."""
        return (predictions == labels).astype(np.int32)
