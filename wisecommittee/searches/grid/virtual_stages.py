"""Virtual stages: kernels take a fixed number of stages, so shorter cascades get virtual stages in front.

At a virtual stage every unit continues and no unit is right; the stage costs nothing and has one level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Stage = TypeVar("Stage")


def padded(stages: Sequence[Stage], number: int, virtual: Stage) -> list[Stage]:
    """These stages, padded in front with `virtual` up to `number` stages."""
    return [virtual] * (number - len(stages)) + list(stages)


def padded_columns(values: NDArray[np.int64], number: int, virtual: int = 0) -> NDArray[np.int64]:
    """The same for an array whose last axis counts stages: [.., K] becomes [.., max(K, number)]."""
    missing = max(0, number - values.shape[-1])
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(missing, 0)], constant_values=virtual)
