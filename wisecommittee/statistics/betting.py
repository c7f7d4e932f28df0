"""Means of values in [0, 1]: tests and limits that hold for every sample size and every distribution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TRUNCATION = 0.75  # most of the capital that is staked on one value; the paper's c
STEPS = 40  # halvings of the range of a limit


def p_mean_at_most(values: NDArray[np.floating], mean: float, delta: float = 0.05) -> float:
    """p-value of the hypothesis that the mean of independent values in [0, 1] is at most `mean`.

    The capital of a gambler who stakes on every value being above `mean` is a supermartingale if the hypothesis is
    true, so that its maximum exceeds 1 / p with probability at most p (Ville 1939).

    Parameters
    ----------
    values : float [N]
        In [0, 1], in an order that does not depend on them.
    mean : float
        In [0, 1].
    delta : float
        The level that the bets are best for; the p-value is valid at all levels.

    Returns
    -------
    float
        In (0, 1].

    References
    ----------
    Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal Statistical
    Society B 86, 2024: the capital is K+ of Equation 25, the bets are those of Equation 26 for a fixed sample size and
    one side. Departs: one side is tested at delta, so that log(1 / delta) stands for log(2 / alpha).
    """
    if not len(values):
        return 1.0
    return _p(values, _bets(values, delta), mean)


def mean_lower_limit(values: NDArray[np.floating], level: float = 0.95) -> float:
    """One-sided lower limit of the mean of independent values in [0, 1] at confidence `level`.

    It is the least mean that `p_mean_at_most` does not reject at 1 - level.

    Parameters
    ----------
    values : float [N]
        In [0, 1], in an order that does not depend on them.
    level : float
        In (0, 1).

    Returns
    -------
    float
        In [0, 1]; 0 without values.
    """
    if not len(values):
        return 0.0
    delta, bets = 1 - level, _bets(values, 1 - level)
    low, high = 0.0, float(np.mean(values))
    if _p(values, bets, low) > delta:
        return low
    for _ in range(STEPS):  # the capital falls as the mean rises
        middle = (low + high) / 2
        low, high = (low, middle) if _p(values, bets, middle) > delta else (middle, high)
    return low


def mean_upper_limit(values: NDArray[np.floating], level: float = 0.95) -> float:
    """One-sided upper limit of the mean of independent values in [0, 1] at confidence `level`; 1 without values."""
    return 1 - mean_lower_limit(1 - np.asarray(values), level)


def _bets(values: NDArray[np.floating], delta: float) -> NDArray[np.float64]:
    """float64 [N]: the stake on each value before it is truncated, from the values before it."""
    values, n = np.asarray(values, np.float64), len(values)
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(values)) / (counts + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (counts + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.sqrt(2 * math.log(1 / delta) / (n * before))


def _p(values: NDArray[np.floating], bets: NDArray[np.float64], mean: float) -> float:
    stakes = np.minimum(bets, TRUNCATION / mean) if mean > 0 else bets
    capital = np.cumsum(np.log1p(stakes * (np.asarray(values, np.float64) - mean)))
    return min(1.0, math.exp(-float(capital.max())))
