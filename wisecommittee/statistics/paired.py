"""Two committees on the same units, each right or wrong on every unit: tests and intervals of the difference of their
accuracies.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.binomial import p_at_most

STEPS = 60  # halvings of the range of a root


class PairedCounts(NamedTuple):
    """Numbers of units by which of two committees is right."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @classmethod
    def of(cls, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedCounts:
        """The counts of two committees whose units are right where `first` and `second`, bool [N], are True."""
        both, first_right, second_right = (int(np.sum(a)) for a in (first & second, first, second))
        return cls(both, first_right - both, second_right - both, len(first) - first_right - second_right + both)

    @property
    def units(self) -> int:
        return sum(self)

    @property
    def difference(self) -> float:
        """Accuracy of the first committee minus that of the second, in [-1, 1]."""
        return (self.first_only - self.second_only) / self.units


def mcnemar(counts: PairedCounts, alternative: str = "two-sided") -> float:
    """p-value of the hypothesis that two committees are equally accurate: the exact test of McNemar 1947.

    Parameters
    ----------
    counts : PairedCounts
    alternative : str
        'two-sided'; 'greater': the first committee is more accurate; 'less': it is less accurate.

    Returns
    -------
    float
        Binomial over the units on which one committee alone is right; 1 without such units.
    """
    trials = counts.first_only + counts.second_only
    greater, less = (p_at_most(each, trials, 0.5) for each in (counts.first_only, counts.second_only))
    return {"two-sided": min(1.0, 2 * min(greater, less)), "greater": greater, "less": less}[alternative]


def difference_interval(counts: PairedCounts, level: float = 0.95) -> tuple[float, float]:
    """Score interval of the difference of two paired accuracies.

    It covers about as often as its level says; its ends are each missed a little more or less often than the other.
    Exact one-sided limits are those of `noninferiority`.

    Parameters
    ----------
    counts : PairedCounts
    level : float
        Two-sided.

    Returns
    -------
    (float, float)
        Of the first committee's accuracy minus the second's, within [-1, 1].

    References
    ----------
    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
    Statistics in Medicine 17, 1998, Section 3.
    """
    return score_interval(counts.first_only, counts.second_only, counts.units, level)


def score_interval(first_only: float, second_only: float, units: float, level: float = 0.95) -> tuple[float, float]:
    """`difference_interval` from the numbers themselves: no whole numbers where dependent units count as fewer
    independent ones."""
    z, difference = NormalDist().inv_cdf((1 + level) / 2), (first_only - second_only) / units
    low = _falls_to(lambda d: tango_score(first_only, second_only, units, d) - z, -1.0, difference)
    high = _falls_to(lambda d: tango_score(first_only, second_only, units, d) + z, difference, 1.0)
    return (-1.0 if difference == -1 else low), (1.0 if difference == 1 else high)


def tango_score(
    first_only: NDArray[np.integer] | float, second_only: NDArray[np.integer] | float, units: float, difference: float
) -> NDArray[np.float64]:
    """Score statistic of the hypothesis that the accuracies differ by `difference`; about standard normal if so.

    It falls with `difference`, rises with `first_only` and falls with `second_only`.
    """
    b, c = np.asarray(first_only, np.float64), np.asarray(second_only, np.float64)
    linear = (2 * units - b + c) * difference - b - c
    product = -c * difference * (1 - difference)
    second = (np.sqrt(linear**2 - 8 * units * product) - linear) / (4 * units)  # the likeliest P(second only)
    variance = units * np.maximum(2 * second + difference * (1 - difference), 0.0)
    gap = b - c - units * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / np.sqrt(variance))


def _falls_to(function: Callable[[float], NDArray[np.float64]], low: float, high: float) -> float:
    """The root of a falling function between low and high."""
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2
