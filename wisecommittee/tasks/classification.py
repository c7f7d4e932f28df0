"""Classification: a unit is right or wrong; quality is top-1 accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.tasks.task import ExactMatch

BLOCK = 8 << 20  # outputs that are searched for the largest class at a time


@dataclass(frozen=True, slots=True)
class Classification(ExactMatch):
    name = "top-1"
    label = "top-1 accuracy"
    kinds = ("logits", "probabilities")

    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
        """int32 [.., N]: 1 where the predicted class is the label."""
        return (predictions == labels).astype(np.int32)


def predicted_classes(outputs: NDArray[np.generic]) -> NDArray[np.int64]:
    """int64 [N]: the class of the largest output of each row [N, C]; the lowest of equal ones."""
    step = max(1, BLOCK // outputs.shape[1])
    return np.concatenate([outputs[a : a + step].argmax(axis=1) for a in range(0, len(outputs), step)])
