"""Percentile levels of the confidences of a stage: the thresholds of the grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def level_values(ordered: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """float32 [P - 1]: the finite levels of a stage, order statistics of its ascending confidences [N] over all
    units."""
    n, steps = len(ordered), levels - 1
    return ordered[np.minimum(n - 1, -(-np.arange(steps) * n // steps))]


def padded_levels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ascending levels as `bin_units` takes them; nothing reaches those that fill up."""
    padded = np.full((1 << len(values).bit_length()) - 1, np.nan, np.float32)
    padded[: len(values)] = values
    return padded
