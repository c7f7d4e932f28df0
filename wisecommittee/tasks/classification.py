"""Classification: one statistic, correct or not; quality is top-1 accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Classification:
    name: str = "top-1"
    scale: int = 1  # integer statistic of a fully right unit

    def statistics(self, prediction: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.int32]:
        """int32 [..]: 1 where the predicted class is the label."""
        return (prediction == labels).astype(np.int32)

    def quality(self, total: int, units: int) -> float:
        return total / units
