"""Exact tests and limits of shares, against scipy and statsmodels."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from wisecommittee.statistics.binomial import lower_limit, p_at_least, p_at_most, upper_limit, wilson_interval

COUNTS = [(0, 1), (1, 1), (0, 20), (20, 20), (3, 20), (950, 1000), (19, 17_000)]


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.94])
def test_p_values_are_those_of_scipy(successes, trials, share):
    greater = binomtest(successes, trials, share, alternative="greater").pvalue
    less = binomtest(successes, trials, share, alternative="less").pvalue
    assert p_at_most(successes, trials, share) == pytest.approx(greater, rel=1e-9, abs=1e-300)
    assert p_at_least(successes, trials, share) == pytest.approx(less, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_limits_are_those_of_clopper_and_pearson(successes, trials, level):
    lower = binomtest(successes, trials, alternative="greater").proportion_ci(level, "exact").low
    upper = binomtest(successes, trials, alternative="less").proportion_ci(level, "exact").high
    assert lower_limit(successes, trials, level) == pytest.approx(lower, abs=1e-9)
    assert upper_limit(successes, trials, level) == pytest.approx(upper, abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(3, 20), (950, 1000)])
def test_a_limit_is_where_its_test_rejects(successes, trials):
    low, high = lower_limit(successes, trials), upper_limit(successes, trials)
    assert p_at_most(successes, trials, low) == pytest.approx(0.05)
    assert p_at_least(successes, trials, high) == pytest.approx(0.05)


def test_without_trials_nothing_is_shown():
    assert (p_at_most(0, 0, 0.5), p_at_least(0, 0, 0.5)) == (1, 1)
    assert (lower_limit(0, 0), upper_limit(0, 0)) == (0, 1)


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_intervals_are_those_of_statsmodels(successes, trials, level):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    theirs = proportion.proportion_confint(successes, trials, 1 - level, method="wilson")
    assert wilson_interval(successes, trials, level) == pytest.approx(theirs, abs=1e-12)
    low, high = proportion.proportion_confint(successes, trials, 1 - level, method="beta")
    one_sided = (1 + level) / 2
    assert lower_limit(successes, trials, one_sided) == pytest.approx(low, abs=1e-9)
    assert upper_limit(successes, trials, one_sided) == pytest.approx(high, abs=1e-9)
