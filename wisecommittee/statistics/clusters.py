"""Means over units that come in groups, such as copies of an image: groups are independent, their units are not."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

Numbers = NDArray[np.float64]


def group_sums(values: Numbers, groups: NDArray[np.int64]) -> Numbers:
    """float64 [G]: the sum of the values [N] of each group; groups : int64 [N] from 0 to G - 1."""
    return np.asarray(np.bincount(groups, values), np.float64)


def group_values(values: Numbers, groups: NDArray[np.int64]) -> Numbers:
    """One value for each group, whose mean is the mean of all units and whose spread is the error of that mean.

    The mean over units is the ratio of two sums over groups, of values and of units; it is linearised, so that groups
    of different sizes do not count as different by their size.

    Parameters
    ----------
    values : float64 [N]
    groups : int64 [N]
        Number of each unit's group, from 0 to G - 1.

    Returns
    -------
    float64 [G]

    References
    ----------
    Cochran, "Sampling Techniques", 3rd ed. 1977, Section 9A (clusters of unequal sizes, ratio to size).
    """
    mean = float(values.mean())
    sums = group_sums(values - mean, groups)
    return np.asarray(mean + sums * (len(sums) / len(values)), np.float64)


def error_of_mean(values: Numbers, groups: NDArray[np.int64]) -> float:
    """Standard error of the mean of values [N] of units in groups [N]."""
    each = group_values(values, groups)
    return float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else math.inf


def effective_units(values: Numbers, groups: NDArray[np.int64], level: float = LEVEL) -> float:
    """How many independent units have a mean as sure as that of units in groups.

    The number of units over the design effect, which is taken for at least 1, times what few groups add to the
    uncertainty of the error itself: the squared ratio of the quantiles of the normal and of Student's distribution.
    Values that are all equal do not show how alike the units of a group are; each group then counts as one.

    Parameters
    ----------
    values : float64 [N]
    groups : int64 [N]
    level : float
        Of the two-sided interval that the number is for.

    Returns
    -------
    float
        From 0 to N.

    References
    ----------
    Korn & Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data", Survey Methodology 24, 1998.
    """
    from scipy.stats import t

    sizes = np.bincount(groups)
    units, number = len(values), len(sizes)
    if number < 2:
        return 0.0
    whole = units**2 / float((sizes.astype(np.float64) ** 2).sum())  # if the units of a group are copies
    alone = float(values.var()) / units
    effect = error_of_mean(values, groups) ** 2 / alone if alone > 0 else units / whole
    quantile = (1 + level) / 2
    few = NormalDist().inv_cdf(quantile) / float(t.ppf(quantile, number - 1))
    return units / max(1.0, effect) * few**2
