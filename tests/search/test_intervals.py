"""Error bars against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from wisecommittee.statistics.binomial import wilson_interval
from wisecommittee.tasks import intervals
from wisecommittee.tasks.intervals import bootstrap_intervals


@pytest.mark.parametrize("units", [1, 2, 17, 600, 50_000])
def test_wilson_intervals_are_those_of_scipy(units):
    for correct in sorted({0, 1, units // 3, units // 2, units - 1, units}):
        expected = binomtest(correct, units).proportion_ci(0.95, method="wilson")
        assert wilson_interval(correct, units) == pytest.approx((expected.low, expected.high), abs=1e-14)
        low, high = wilson_interval(correct, units)
        assert 0 <= low <= correct / units <= high <= 1


@pytest.mark.parametrize("units", [2, 3, 60, 700])
@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_bootstrap_intervals_are_those_of_scipy(units, kept, monkeypatch):
    monkeypatch.setattr(intervals, "MOST_KEPT", kept)
    grades = np.random.default_rng(units).integers(0, 11, (5, units))
    grades[0, :2] = 0, 10  # scipy has no interval of grades that are all alike
    found = bootstrap_intervals(grades)
    for line, interval in zip(grades, found, strict=True):
        if np.ptp(line) == 0:
            assert interval == (line[0], line[0])
            continue
        drawn = bootstrap((np.sort(line),), np.mean, n_resamples=999, batch=50, method="percentile", rng=0)
        assert interval == pytest.approx(tuple(drawn.confidence_interval), abs=1e-12)
    assert bootstrap_intervals(grades[:, ::-1]) == found
    assert bootstrap_intervals(grades[1:3]) == found[1:3]
