"""Intervals of a quantile, against the binomial distribution and against samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from wisecommittee.statistics.quantiles import quantile_interval


@pytest.mark.parametrize("n", [368, 500, 1_000, 4_321])
def test_each_end_is_missed_with_half_of_the_error(n):
    low, high = quantile_interval(np.arange(n), 0.99)
    # The quantile lies below order statistic r (from 0) iff at most r of the values lie below it.
    assert binom.cdf(low, n, 0.99) <= 0.025
    assert binom.sf(high, n, 0.99) <= 0.025
    assert binom.sf(high - 1, n, 0.99) > 0.025


def test_too_few_values_have_no_upper_end():
    assert quantile_interval(np.arange(367), 0.99) is None
    assert quantile_interval(np.arange(368), 0.99) is not None


def test_intervals_cover():
    rng = np.random.default_rng(0)
    truth = -np.log(0.05)
    covered = [
        low <= truth <= high for low, high in (quantile_interval(rng.exponential(size=300), 0.95) for _ in range(400))
    ]
    assert np.mean(covered) >= 0.94
