"""Honest error bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


def wilson_interval(correct: int, units: int) -> tuple[float, float]:
    """95 % Wilson interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(correct, units).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def bootstrap_interval(grades: NDArray[np.floating]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of grades [units]; seeded, whatever the order of units."""
    from scipy.stats import bootstrap

    if np.ptp(grades) == 0:
        return float(grades[0]), float(grades[0])
    drawn = bootstrap(
        (np.sort(grades),), np.mean, confidence_level=LEVEL, n_resamples=999, batch=50, method="percentile", rng=0
    )
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
