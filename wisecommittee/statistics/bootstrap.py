"""Intervals of a mean, such as that of paired differences, by studentised resamples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.betting import mean_lower_limit

RESAMPLES = 1999
AT_A_TIME = 1 << 22  # drawn values
FEW = 10  # values in the outer half of a tail: below, resamples do not show what a sample can miss

Interval = tuple[float, float]


def mean_interval(
    values: NDArray[np.floating], level: float = 0.95, bounds: Interval = (-1.0, 1.0), seed: int = 0
) -> Interval:
    """Interval of the mean of independent values; for a paired comparison, the differences of each unit.

    An end beyond which the sample has few values, such as the upper one where 3 of 300 units run the dearest stage, is
    the betting limit of `betting.mean_lower_limit`, which holds for every distribution within the bounds.

    Parameters
    ----------
    values : float [N]
    level : float
        Two-sided. The ends at level 0.90 are the one-sided limits at level 0.95.
    bounds : (float, float)
        Least and largest value that is possible.
    seed : int

    Returns
    -------
    (float, float)
        Within the bounds.

    References
    ----------
    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, Section 12.5 (bootstrap-t).
    """
    values = np.array(values, np.float64)
    least, most = bounds
    mean, spread, each = float(values.mean()), most - least, (1 + level) / 2
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    low_t, high_t = studentised_quantiles(values, level, seed)
    mixed = np.random.default_rng(seed).permutation(values)
    low, high = mean - high_t * error, mean - low_t * error
    if few_beyond(-values):
        low = least + spread * mean_lower_limit(np.clip((mixed - least) / spread, 0, 1), each)
    if few_beyond(values):
        high = most - spread * mean_lower_limit(np.clip((most - mixed) / spread, 0, 1), each)
    return max(low, least), min(high, most)


def few_beyond(values: NDArray[np.floating]) -> bool:
    """Whether fewer than FEW values lie above the middle between the median and the largest value."""
    middle, largest = float(np.median(values)), float(values.max())
    return bool(largest == middle or np.count_nonzero(values > (middle + largest) / 2) < FEW)


def studentised_quantiles(values: NDArray[np.floating], level: float, seed: int) -> Interval:
    """Quantiles (1 -+ level) / 2 of the studentised mean over resamples of the values."""
    rng, units = np.random.default_rng(seed), len(values)
    distinct, counts = np.unique(values, return_counts=True)
    centred = distinct - values.mean()
    few = len(distinct) < units / 4
    size = len(distinct) if few else units
    found = []
    for start in range(0, RESAMPLES, step := max(1, AT_A_TIME // size)):
        lines = min(step, RESAMPLES - start)
        if few:
            drawn = rng.multinomial(units, counts / units, lines)
            means, squares = drawn @ centred / units, drawn @ centred**2 / units
        else:
            sample = (values - values.mean())[rng.integers(0, units, (lines, units))]
            means, squares = sample.mean(axis=1), (sample**2).mean(axis=1)
        errors = np.sqrt(np.maximum(squares - means**2, 0.0) / max(units - 1, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.where(np.abs(means) > 0, means / errors, 0.0))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)
