"""The splits of training data, as the sources of `train/data.py` give them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wisecommittee.extraction.data.data import Data
from wisecommittee.train.loop import Batches


class TrainingPart(Protocol):
    """One split of training data. labels : int64 [N], as trained on (some redrawn, where asked for)."""

    @property
    def labels(self) -> Tensor: ...

    def batches(self, size: int, augment: bool) -> Batches: ...

    def data(self, spec: str) -> Data: ...

    def rows(self, rows: NDArray[np.int64]) -> TrainingPart: ...

    def labelled(self, labels: Tensor) -> TrainingPart: ...
