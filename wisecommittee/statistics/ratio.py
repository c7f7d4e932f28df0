"""Intervals of the ratio of two means over the same units, such as a speed-up."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.betting import p_mean_at_most
from wisecommittee.statistics.bootstrap import few_beyond, studentised_quantiles

STEPS = 50  # halvings of the range of an end

Interval = tuple[float, float]


def ratio_interval(
    numerator: NDArray[np.floating],
    denominator: NDArray[np.floating],
    most: Interval,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the ratio of two means over the same units, such as the speed-up of a committee over a model.

    A ratio is in the interval if the mean of numerator - ratio * denominator may be 0 (Fieller 1954). Its studentised
    value is compared with the quantiles of resamples, not of the normal distribution, since costs are skewed; where few
    units make up a tail, with the betting test of `betting.p_mean_at_most`.

    Parameters
    ----------
    numerator, denominator : float [N]
        From 0; of each unit, such as the cost of the reference and of the committee.
    most : (float, float)
        The largest value that is possible of the numerator and of the denominator: the worst-case costs.
    level : float
        Two-sided. The ends at level 0.90 are the one-sided limits at level 0.95.
    seed : int

    Returns
    -------
    (float, float)
        From 0; the upper end is infinite where the mean of the denominator may be 0.
    """
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if not below.any():
        return 0.0, math.inf
    ratio = float(above.mean() / below.mean())
    gaps = above - ratio * below
    low_t, high_t = studentised_quantiles(gaps, level, seed)
    mixed = np.random.default_rng(seed).permutation(len(gaps))
    low, high = _fieller(above, below, high_t), _fieller(above, below, low_t)
    delta = (1 - level) / 2
    if few_beyond(-gaps):
        low = _betting_ratio(above[mixed], below[mixed], most, delta)
    if few_beyond(gaps):
        inverse = _betting_ratio(below[mixed], above[mixed], (most[1], most[0]), delta)
        high = 1 / inverse if inverse else math.inf
    return max(low, 0.0), high


def _fieller(above: NDArray[np.float64], below: NDArray[np.float64], quantile: float) -> float:
    """The ratio at which the studentised mean of above - ratio * below equals a quantile; 0 or infinity if none does.

    The studentised mean falls as the ratio rises.
    """
    unbounded = 0.0 if quantile > 0 else math.inf
    if not math.isfinite(quantile):
        return unbounded
    units = len(above)
    (var_above, mixed), (_, var_below) = np.cov(np.stack([above, below])) / units if units > 1 else np.zeros((2, 2))
    square = quantile**2
    a = below.mean() ** 2 - square * var_below
    b = above.mean() * below.mean() - square * mixed
    c = above.mean() ** 2 - square * var_above
    if not a > 0:
        return unbounded
    return float((b - math.copysign(math.sqrt(max(b * b - a * c, 0.0)), quantile)) / a)


def _betting_ratio(above: NDArray[np.float64], below: NDArray[np.float64], most: Interval, delta: float) -> float:
    """The largest ratio that a betting test at delta shows the means to exceed; 0 if there is none."""
    low, high = 0.0, float(above.mean() / below.mean()) if below.any() else most[0] / most[1]
    for _ in range(STEPS):
        middle = (low + high) / 2
        spread = most[0] + middle * most[1]
        equal = middle * most[1] / spread  # the share that stands for a mean of 0
        shares = np.clip((above - middle * below) / spread + equal, 0, 1)
        shown = p_mean_at_most(shares, equal, delta) <= delta
        low, high = (middle, high) if shown else (low, middle)
    return low
