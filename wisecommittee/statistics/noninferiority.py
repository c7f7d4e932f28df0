"""The exact test that one committee is less accurate than another by a margin or more on the same units, and exact
limits of the difference.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.binomial import lower_limit, upper_limit
from wisecommittee.statistics.paired import PairedCounts, tango_score

EXCLUDED = 1e-5  # probability that the share of units that only the second committee gets right is outside its interval
CELL = 0.02  # width of a cell of that share, in standard errors of the difference
WIDTH = 1e-6  # of the range in which a limit is left


def p_inferior(counts: PairedCounts, margin: float) -> float:
    """p-value of the hypothesis that the first committee is less accurate than the second by `margin` or more.

    Exact at every number of units and without an assumption on the shares of the four outcomes: the largest
    probability, over the unknown share of units that only the second committee gets right, of a score at least as
    large as that of these counts. The share is searched over a confidence interval, whose error is added (Berger & Boos
    1994). It is divided into cells, each counted by shares beyond its corners that make a large score more probable, so
    that the result is never too small.

    Parameters
    ----------
    counts : PairedCounts
    margin : float
        In [-1, 1]: the hypothesis is (accuracy of the first) - (accuracy of the second) <= -margin. Below 0: the first
        must be more accurate.

    Returns
    -------
    float
        In (0, 1].

    References
    ----------
    Hsueh, Liu & Chen, "Unconditional exact tests for equivalence or noninferiority for paired binary endpoints",
    Biometrics 57, 2001; its score is that of Tango 1998.
    """
    units, bound = counts.units, -margin
    observed = float(tango_score(counts.first_only, counts.second_only, units, bound))
    if not observed > 0:  # at the hypothesis, a score this small is no evidence
        return 1.0
    least, most = max(0.0, margin), (1 + margin) / 2  # P(second only), where P(first only) is it less the margin
    level = 1 - EXCLUDED / 2
    low = min(max(lower_limit(counts.second_only, units, level), least), most)
    high = max(min(upper_limit(counts.second_only, units, level), most), low)
    spread = math.sqrt(max(2 * high - margin - margin**2, 1e-12) / units)
    count = _likely_counts(units, low, high)
    region = _least_first_only(observed, units, bound, count)
    edges = np.linspace(low, high, 2 + math.ceil((high - low) / (CELL * spread)))
    second, first = edges[:-1], np.clip(edges[1:] - margin, 0.0, 1 - edges[:-1])
    worst = _tail_probabilities(count, region, first, second, units).max()
    return float(min(1.0, worst + EXCLUDED))


def _likely_counts(units: int, low: float, high: float) -> NDArray[np.int64]:
    """int64 [m]: the numbers of units that only the second committee gets right, for shares of such units from low to
    high; those left out have a probability of about 1e-12."""
    from scipy.special import bdtrik  # the quantile of a binomial

    fewest = max(0, math.floor(float(bdtrik(1e-12, units, low))) - 1) if low > 0 else 0
    most = min(units, math.ceil(float(bdtrik(1 - 1e-12, units, high))) + 1) if high > 0 else 0
    return np.arange(fewest, most + 1)


def _least_first_only(observed: float, units: int, bound: float, second: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [m]: for each number of units that only the second committee gets right, the least number that only the
    first must get right for a score of at least `observed`; units + 1 where no number is enough."""
    low, high = np.full(len(second), -1), units - second + 1  # the score is too small at low, large enough at high
    while (high - low > 1).any():
        middle = (low + high) // 2
        enough = tango_score(np.maximum(middle, 0), second, units, bound) >= observed - 1e-12
        wide = high - low > 1
        low, high = np.where(wide & ~enough, middle, low), np.where(wide & enough, middle, high)
    least = np.where(high > units - second, units + 1, high)
    return np.minimum.accumulate(least[::-1])[::-1]


def _tail_probabilities(
    count: NDArray[np.int64],
    least: NDArray[np.int64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    units: int,
) -> NDArray[np.float64]:
    """float64 [cells]: the probability of a point (first only, second only) in the region, at each pair of shares.

    count : int64 [m] of second only; least : int64 [m] of first only, for the region; first, second : float64 [cells]
    shares.
    """
    from scipy.special import betainc, gammaln, xlog1py, xlogy

    chosen = gammaln(units + 1) - gammaln(count + 1) - gammaln(units - count + 1)
    share = second[:, None]
    probability = np.exp(chosen + xlogy(count, share) + xlog1py(units - count, -share))
    among_others = np.clip(first / np.maximum(1 - second, 1e-300), 0.0, 1.0)[:, None]
    rest = units - count - least + 1  # of P(X >= least) for X ~ Binomial(units - count, among_others)
    tail = betainc(np.maximum(least, 1), np.maximum(rest, 1), among_others)
    tail = np.where(least <= 0, 1.0, np.where(rest < 1, 0.0, tail))
    left_out = np.maximum(0.0, 1 - probability.sum(axis=1))  # larger counts of the second are not listed
    return np.asarray((probability * tail).sum(axis=1) + left_out)


def difference_lower_limit(counts: PairedCounts, level: float = 0.95) -> float:
    """One-sided lower limit of the difference of two paired accuracies, exact at every number of units.

    Parameters
    ----------
    counts : PairedCounts
    level : float
        In (0, 1).

    Returns
    -------
    float
        In [-1, 1], of the first committee's accuracy minus the second's: minus the smallest margin at which
        `p_inferior` rejects at 1 - level, to within 1e-6.
    """
    delta, low = 1 - level, -counts.difference
    high = min(1.0, low + 8 / math.sqrt(counts.units))
    if p_inferior(counts, high) > delta:
        high = 1.0
    while high - low > WIDTH:
        middle = (low + high) / 2
        low, high = (middle, high) if p_inferior(counts, middle) > delta else (low, middle)
    return -high


def difference_upper_limit(counts: PairedCounts, level: float = 0.95) -> float:
    """One-sided upper limit of the difference of two paired accuracies; see `difference_lower_limit`."""
    both, first_only, second_only, neither = counts
    return -difference_lower_limit(PairedCounts(both, second_only, first_only, neither), level)
