"""Error bars against scipy."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from wisecommittee.search.statistics import wilson_interval


@pytest.mark.parametrize("units", [1, 2, 17, 600, 50_000])
def test_wilson_intervals_are_those_of_scipy(units):
    for correct in sorted({0, 1, units // 3, units // 2, units - 1, units}):
        expected = binomtest(correct, units).proportion_ci(0.95, method="wilson")
        assert wilson_interval(correct, units) == pytest.approx((expected.low, expected.high), abs=1e-14)
        low, high = wilson_interval(correct, units)
        assert 0 <= low <= correct / units <= high <= 1
