"""Honest error bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


def interval(total: int, units: int, scale: int, grades: NDArray[np.integer]) -> tuple[float, float]:
    """95 % interval of the mean: Wilson for right or wrong, bootstrap (seeded, percentile) for graded quality.

    total : sum of grades; grades : integer [units], full marks = scale.
    """
    from scipy import stats

    if scale == 1:
        found = stats.binomtest(total, units).proportion_ci(LEVEL, method="wilson")
        return float(found.low), float(found.high)
    values = grades / scale
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    drawn = stats.bootstrap(
        (values,), np.mean, confidence_level=LEVEL, n_resamples=2000, batch=50, method="percentile", rng=0
    )
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
