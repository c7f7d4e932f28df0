"""Intervals of many groups at once, which hold for groups of any size: of shares and of means of bounded values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.betting import mean_lower_limit, mean_upper_limit
from wisecommittee.statistics.binomial import lower_limit, upper_limit

Interval = tuple[float, float]


def simultaneous_level(groups: int, level: float = 0.95) -> float:
    """The level of each of several intervals at which all of them hold together with probability `level`.

    Parameters
    ----------
    groups : int
        Number of intervals, of samples without common units.
    level : float
        In (0, 1).

    Returns
    -------
    float

    References
    ----------
    Sidak, "Rectangular confidence regions for the means of multivariate normal distributions", Journal of the American
    Statistical Association 62, 1967. Samples without common units are independent, for which the formula is exact.
    """
    return float(level ** (1 / max(1, groups)))


def share_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Two-sided exact interval of a share (Clopper & Pearson 1934), for samples of any size."""
    each = (1 + level) / 2
    return lower_limit(successes, trials, each), upper_limit(successes, trials, each)


def mean_interval(values: NDArray[np.floating], bounds: Interval, level: float = 0.95, seed: int = 0) -> Interval:
    """Two-sided interval of the mean of bounded values, for samples of any size and any distribution.

    Parameters
    ----------
    values : float [N]
        Independent, at least one.
    bounds : (float, float)
        Least and largest value that is possible.
    level : float
    seed : int
        Of the order in which the values are bet on.

    Returns
    -------
    (float, float)
        Within the bounds; betting limits (betting.py), which hold at every level, unlike resamples.
    """
    least, most = bounds
    if most <= least:
        return least, most
    mixed = np.random.default_rng(seed).permutation(np.asarray(values, np.float64))
    scaled, each = np.clip((mixed - least) / (most - least), 0, 1), (1 + level) / 2
    return tuple(least + (most - least) * f(scaled, each) for f in (mean_lower_limit, mean_upper_limit))  # type: ignore[return-value]
