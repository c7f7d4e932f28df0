"""Studentised bootstrap intervals, against resamples drawn in a loop; their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.ratio import ratio_interval

COSTS = {"three stages": ([1.0, 2, 5], [0.5, 0.3, 0.2]), "rare stage": ([1.0, 3, 12], [0.9, 0.09, 0.01])}


def studentised(values: np.ndarray, level: float) -> tuple[float, float]:
    rng, found = np.random.default_rng(5), []
    mean, error = values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    for _ in range(4000):
        sample = rng.choice(values, len(values))
        found.append((sample.mean() - mean) / (sample.std(ddof=1) / math.sqrt(len(values))))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return mean - high * error, mean - low * error


@pytest.mark.parametrize("grades", [10, 0], ids=["few values", "all different"])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_of_a_mean_is_that_of_a_loop(grades, level):
    values = np.clip(np.random.default_rng(1).gamma(1.0, 0.15, 400), 0, 1)
    values = np.rint(values * grades) / grades if grades else values
    low, high = mean_interval(values, level, (0, 1))
    assert (low, high) == pytest.approx(studentised(values, level), abs=0.15 * (high - low))


def test_a_ratio_to_a_constant_is_the_interval_of_the_mean_turned_over():
    cost = np.random.default_rng(0).choice([1.0, 2, 5], 500, p=[0.5, 0.3, 0.2])
    low, high = mean_interval(cost, 0.95, (0, 5))
    assert ratio_interval(np.full(500, 4.0), cost, (4, 5)) == pytest.approx((4 / high, 4 / low), rel=0.01)


def test_equal_values_have_an_interval():
    low, high = mean_interval(np.zeros(200))
    assert -0.1 < low < 0 < high < 0.1
    low, high = ratio_interval(np.full(200, 4.0), np.ones(200), (4, 10))
    assert 2 < low < 4 < high < 5
    assert mean_interval(np.array([0.3]), bounds=(0, 1)) == (0, 1)


def test_costs_of_nothing_have_a_ratio_without_an_upper_end():
    assert ratio_interval(np.ones(50), np.zeros(50), (1, 1)) == (0, math.inf)


def test_the_interval_depends_on_the_seed_alone():
    values = np.random.default_rng(0).random(300)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("units", [100, 300, 1000])
def test_intervals_of_costs_cover(name, units, capsys):
    rng, draws = np.random.default_rng(0), 400
    costs, shares = map(np.array, COSTS[name])
    mean, covered = float(costs @ shares), np.zeros(2)
    for seed in range(draws):
        cost = rng.choice(costs, units, p=shares)
        low, high = mean_interval(cost, 0.95, (0, costs[-1]), seed)
        least, most = ratio_interval(np.full(units, 4.0), cost, (4, costs[-1]), seed=seed)
        covered += low <= mean <= high, least <= 4 / mean <= most
    with capsys.disabled():
        print(f"\n{name}, {units} units: mean {covered[0] / draws:.3f}, ratio {covered[1] / draws:.3f} of {draws}")
    assert (covered / draws >= 0.93 - 2 * math.sqrt(0.07 * 0.93 / draws)).all()
