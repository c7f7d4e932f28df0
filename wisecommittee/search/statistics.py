"""Honest error bars."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


def wilson_interval(correct: int, units: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), in closed form: scipy's, which it equals, takes a second to load
    and a third of a millisecond for each committee of a frontier."""
    z, share = NormalDist().inv_cdf((1 + LEVEL) / 2), correct / units
    centre = (2 * correct + z**2) / (2 * (units + z**2))
    half = z * math.sqrt(z**2 + 4 * units * share * (1 - share)) / (2 * (units + z**2))
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == units else centre + half)


def bootstrap_interval(grades: NDArray[np.floating]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of grades [units]; seeded, whatever the order of units."""
    from scipy.stats import bootstrap

    if np.ptp(grades) == 0:
        return float(grades[0]), float(grades[0])
    drawn = bootstrap(
        (np.sort(grades),), np.mean, confidence_level=LEVEL, n_resamples=999, batch=50, method="percentile", rng=0
    )
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def normal_interval(quality: float, influence: NDArray[np.floating]) -> tuple[float, float]:
    """95 % interval of a smooth function of totals over units, linearised (the delta method), within [0, 1].

    influence : float64 [units] statistics of each unit times the function's gradient. Units count as independent; cells
    of one image resemble each other, so over few images it is too narrow.
    """
    from scipy.stats import norm

    n = len(influence)
    half = float(norm.ppf((1 + LEVEL) / 2)) * float(np.sqrt(n * np.var(influence, ddof=1))) if n > 1 else 1.0
    return max(0.0, quality - half), min(1.0, quality + half)
