"""Two committees on the same units: published examples, scipy, statsmodels and likelihoods maximised numerically."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, multinomial, norm

from wisecommittee.statistics.binomial import wilson_interval
from wisecommittee.statistics.paired import PairedCounts, difference_interval, mcnemar, tango_score

EXAMPLES = [PairedCounts(36, 12, 2, 0), PairedCounts(1, 1, 7, 12), PairedCounts(900, 31, 24, 45)]


def newcombe_interval(counts: PairedCounts, level: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of two paired accuracies from their Wilson intervals and their correlation.

    References
    ----------
    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 17, 1998, method 10.
    """
    units, (both, first_only, second_only, neither) = counts.units, counts
    first, second = both + first_only, both + second_only
    margins = first * (units - first) * second * (units - second)
    excess = both * neither - first_only * second_only
    corrected = max(excess - units / 2, 0) if excess > 0 else excess
    correlation = corrected / math.sqrt(margins) if margins else 0.0
    (low1, high1), (low2, high2) = wilson_interval(first, units, level), wilson_interval(second, units, level)
    share1, share2 = first / units, second / units
    below = _joined(share1 - low1, high2 - share2, correlation)
    above = _joined(high1 - share1, share2 - low2, correlation)
    return max(-1.0, counts.difference - below), min(1.0, counts.difference + above)


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))


def test_counts_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    first, second = rng.random(200) < 0.8, rng.random(200) < 0.7
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    expected = [pairs.count(each) for each in [(True, True), (True, False), (False, True), (False, False)]]
    counts = PairedCounts.of(first, second)
    assert list(counts) == expected
    assert counts.units == 200
    assert counts.difference == pytest.approx(first.mean() - second.mean())


@pytest.mark.parametrize("counts", [*EXAMPLES, PairedCounts(10, 0, 0, 5), PairedCounts(10, 0, 6, 5)])
def test_mcnemar_is_the_binomial_test_of_scipy_and_statsmodels(counts):
    n, gained = counts.first_only + counts.second_only, counts.first_only
    for alternative in ("two-sided", "greater", "less"):
        expected = binomtest(gained, n, 0.5, alternative=alternative).pvalue if n else 1.0
        assert mcnemar(counts, alternative) == pytest.approx(expected)
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    table = [[counts.both, counts.first_only], [counts.second_only, counts.neither]]
    if n:
        assert mcnemar(counts) == pytest.approx(tables.mcnemar(table, exact=True).pvalue)


@pytest.mark.parametrize(
    ("counts", "published"),
    [  # Fagerland, Lydersen & Laake, "Statistical Analysis of Contingency Tables", 2017, Chapter 8
        (PairedCounts(1, 1, 7, 12), (-0.517, -0.026)),
        (PairedCounts(59, 6, 16, 80), (-0.124, -0.005)),
    ],
)
def test_difference_intervals_are_the_published_ones(counts, published):
    assert difference_interval(counts) == pytest.approx(published, abs=5e-4)


def test_newcombe_interval_is_the_published_one():
    """Newcombe 1998, Table III: 36, 12, 2, 0."""
    assert newcombe_interval(PairedCounts(36, 12, 2, 0)) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def score_by_likelihood(counts: PairedCounts, difference: float) -> float:
    """Tango's statistic with the nuisance share at the numerical maximum of the likelihood."""
    b, c, n = counts.first_only, counts.second_only, counts.units

    def loss(second: float) -> float:
        terms = [(b, second + difference), (c, second), (n - b - c, 1 - 2 * second - difference)]
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    second = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * difference) / math.sqrt(n * (2 * second + difference - difference**2))


@pytest.mark.parametrize("counts", EXAMPLES)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_score_and_its_interval_are_those_of_the_likelihood(counts, level):
    for difference in (-0.3, -0.01, 0.02, 0.2):
        mine = float(tango_score(counts.first_only, counts.second_only, counts.units, difference))
        assert mine == pytest.approx(score_by_likelihood(counts, difference), rel=1e-4, abs=1e-5)
    z = norm.ppf((1 + level) / 2)
    low = brentq(lambda d: score_by_likelihood(counts, d) - z, -0.99, counts.difference)
    high = brentq(lambda d: score_by_likelihood(counts, d) + z, counts.difference, 0.99)
    assert difference_interval(counts, level) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize("interval", [difference_interval, newcombe_interval])
def test_exchanging_the_committees_mirrors_the_interval(interval):
    for counts in EXAMPLES:
        both, first, second, neither = counts
        low, high = interval(counts)
        assert interval(PairedCounts(both, second, first, neither)) == pytest.approx((-high, -low), abs=1e-9)
        assert -1 <= low <= counts.difference <= high <= 1


@pytest.mark.parametrize("interval", [difference_interval, newcombe_interval])
def test_committees_that_always_or_never_agree_have_an_interval(interval):
    low, high = interval(PairedCounts(100, 0, 0, 0))
    assert (low, high) == pytest.approx((-high, high))
    assert 0.01 < high < 0.05
    assert interval(PairedCounts(0, 50, 0, 0))[1] == 1


def coverage(interval, units: int, first: float, second: float, level: float) -> tuple[float, float]:
    """Probabilities that the interval lies above and below the difference of shares, summed over all likely tables."""
    b, c = np.meshgrid(np.arange(units + 1), np.arange(units + 1), indexing="ij")
    chance = np.where(
        b + c <= units,
        multinomial.pmf(np.stack([b, c, np.maximum(units - b - c, 0)], -1), units, [first, second, 1 - first - second]),
        0.0,
    )
    above = below = 0.0
    for one, other in np.argwhere(chance > 1e-7).tolist():
        rest = units - one - other
        low, high = interval(PairedCounts(rest - rest // 10, one, other, rest // 10), level)
        above += chance[one, other] * (low > first - second)
        below += chance[one, other] * (high < first - second)
    return above, below


@pytest.mark.slow
@pytest.mark.parametrize("units", [100, 300])
@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.02, 0.005), (0.005, 0.03), (0.05, 0.05), (0.03, 0.08)])
def test_intervals_cover(units, shares, capsys):
    lines = []
    for level in (0.9, 0.95):
        for name, interval in (("Tango", difference_interval), ("Newcombe", newcombe_interval)):
            above, below = coverage(interval, units, *shares, level)
            lines.append(f"{name} {level}: covers {1 - above - below:.3f}, above {above:.3f}, below {below:.3f}")
            if level == 0.95:
                assert 1 - above - below >= 0.93, lines[-1]
    with capsys.disabled():
        print(f"\n{units} units, shares {shares}", *lines, sep="\n  ")
