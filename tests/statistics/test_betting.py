"""Tests and limits of a mean of bounded values, against loops written from the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wisecommittee.statistics.betting import mean_lower_limit, mean_upper_limit, p_mean_at_most


def capital(values: list[float], mean: float, delta: float) -> float:
    """The largest capital along the sequence: Waudby-Smith & Ramdas 2024, Section 4, one side, fixed sample size."""
    n, largest, wealth = len(values), 1.0, 1.0
    for t in range(1, n + 1):
        seen = values[: t - 1]
        squares = 0.25
        for i in range(1, t):
            running = (0.5 + sum(values[:i])) / (i + 1)
            squares += (values[i - 1] - running) ** 2
        variance = squares / (len(seen) + 1)
        stake = math.sqrt(2 * math.log(1 / delta) / (n * variance))
        if mean > 0:
            stake = min(stake, 0.75 / mean)
        wealth *= 1 + stake * (values[t - 1] - mean)
        largest = max(largest, wealth)
    return largest


DRAWS = {
    "uniform": lambda rng, n: rng.random(n),
    "right or wrong": lambda rng, n: (rng.random(n) < 0.9).astype(float),
    "few stages": lambda rng, n: rng.choice([0.1, 0.3, 1.0], n, p=[0.8, 0.15, 0.05]),
    "all equal": lambda rng, n: np.full(n, 0.25),
    "zeros": lambda rng, n: np.zeros(n),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_p_values_and_limits_are_those_of_the_paper(name, delta):
    values = DRAWS[name](np.random.default_rng(3), 60)
    for mean in (0.0, 0.2, 0.5, 0.9, 1.0):
        assert p_mean_at_most(values, mean, delta) == pytest.approx(1 / capital(values.tolist(), mean, delta))
    low = mean_lower_limit(values, 1 - delta)
    if low > 0:
        assert capital(values.tolist(), low, delta) >= 1 / delta
    assert capital(values.tolist(), low + 1e-6, delta) < 1 / delta
    assert mean_upper_limit(values, 1 - delta) == pytest.approx(1 - mean_lower_limit(1 - values, 1 - delta))


def test_without_values_nothing_is_shown():
    none = np.zeros(0)
    assert p_mean_at_most(none, 0.5) == 1
    assert (mean_lower_limit(none), mean_upper_limit(none)) == (0, 1)


@pytest.mark.parametrize("name", ["uniform", "right or wrong", "few stages"])
def test_a_true_hypothesis_is_rejected_at_most_as_often_as_allowed(name):
    rng, mean = np.random.default_rng(0), {"uniform": 0.5, "right or wrong": 0.9, "few stages": 0.175}[name]
    rejected = sum(p_mean_at_most(DRAWS[name](rng, 100), mean, 0.1) <= 0.1 for _ in range(1000))
    assert rejected <= 0.1 * 1000 + 2 * math.sqrt(0.09 * 1000)
