"""Intervals of many groups, against scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from wisecommittee.statistics.groups import mean_interval, share_interval, simultaneous_level


@pytest.mark.parametrize("successes", [0, 1, 7, 19, 20])
@pytest.mark.parametrize("level", [0.95, 0.999])
def test_shares_have_the_exact_interval(successes, level):
    known = stats.binomtest(successes, 20).proportion_ci(level, method="exact")
    assert share_interval(successes, 20, level) == pytest.approx((known.low, known.high), abs=1e-12)


def test_independent_intervals_hold_together_with_the_named_probability():
    for groups in (1, 2, 10, 1000):
        assert simultaneous_level(groups) ** groups == pytest.approx(0.95)
        assert simultaneous_level(groups) <= 1 - 0.05 / groups * 0.95  # close to Bonferroni, and never below it by much


def test_the_interval_of_a_mean_lies_within_its_bounds_and_grows_with_the_level():
    values = np.random.default_rng(0).choice([3.0, 5.0, 11.0], 40)
    narrow, wide = (mean_interval(values, (3.0, 11.0), level) for level in (0.9, 0.9999))
    assert 3 <= wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1] <= 11
    assert mean_interval(np.full(5, 3.0), (3.0, 11.0))[0] == 3
    assert mean_interval(np.full(5, 3.0), (3.0, 11.0))[1] > 5  # five equal values do not show that none differs
    assert mean_interval(np.full(5, 3.0), (3.0, 3.0)) == (3, 3)


def test_scaled_values_have_the_scaled_interval():
    values = np.random.default_rng(1).random(30)
    low, high = mean_interval(values, (0.0, 1.0))
    assert mean_interval(2e9 + 1e9 * values, (2e9, 3e9)) == pytest.approx((2e9 + 1e9 * low, 2e9 + 1e9 * high))


def test_intervals_of_small_groups_cover():
    rng, draws, mean = np.random.default_rng(2), 400, 0.1 * 0.9 + 0.06 * 0.4 + 0.04 * 1.0
    covered = 0
    for _ in range(draws):
        low, high = mean_interval(rng.choice([0.1, 0.4, 1.0], 12, p=[0.9, 0.06, 0.04]), (0.1, 1.0))
        covered += low <= mean <= high
    assert covered >= 0.95 * draws - 2 * math.sqrt(0.05 * 0.95 * draws)


def test_intervals_of_all_groups_hold_together():
    rng, draws, sizes = np.random.default_rng(3), 300, np.repeat([5, 20, 100, 400], 5)
    shares = np.tile([0.6, 0.9, 0.95, 0.99, 0.999], 4)
    level, together, alone = simultaneous_level(len(sizes)), 0, 0
    for _ in range(draws):
        right = rng.binomial(sizes, shares)
        for at in (level, 0.95):
            ends = [share_interval(int(k), int(n), at) for k, n in zip(right, sizes, strict=True)]
            held = all(low <= share <= high for (low, high), share in zip(ends, shares, strict=True))
            together += held and at == level
            alone += held and at == 0.95
    assert together >= 0.95 * draws - 2 * math.sqrt(0.05 * 0.95 * draws)
    assert alone < 0.9 * draws  # the intervals of each group alone do not
