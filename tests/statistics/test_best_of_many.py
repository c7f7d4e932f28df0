"""How much the best of several models is flattered, against closed forms and against new samples."""

from __future__ import annotations

import numpy as np
import pytest

from wisecommittee.statistics.best_of_many import flattery


def right(rng, rates, units):
    return (rng.random((len(rates), units)) < np.array(rates)[:, None]).astype(float)


def test_two_equal_models_flatter_the_better_by_what_the_larger_of_two_normal_means_does():
    """The mean of the larger of two independent standard normal variables is 1 / sqrt(pi)."""
    units = 10_000
    halves = np.tile([0.0, 1.0], units // 2)
    models = np.stack([halves, np.tile([0.0, 0.0, 1.0, 1.0], units // 4)])  # equal means, independent
    error = 0.5 / np.sqrt(units)
    found = flattery(np.zeros(units), models)
    assert found.mean == pytest.approx(error / np.sqrt(np.pi), rel=0.05)
    assert found.errors.mean() == pytest.approx(0, abs=1e-12)


def test_a_model_far_above_the_others_is_not_flattered():
    rng = np.random.default_rng(0)
    models = right(rng, [0.95, 0.6, 0.5], 2_000)
    found = flattery(np.zeros(2_000), models)
    assert abs(found.mean) < 0.0005
    low, high = found.interval(0.0, 0.95)
    error = models[0].std() / np.sqrt(2_000)
    assert (low, high) == pytest.approx((-1.96 * error, 1.96 * error), rel=0.06)


def test_one_model_is_never_flattered():
    models = right(np.random.default_rng(1), [0.8], 500)
    assert flattery(np.zeros(500), models).mean == pytest.approx(0, abs=1e-12)


def test_the_same_units_count_against_each_other():
    """A committee that is right where the best model is right has no error beside it."""
    models = right(np.random.default_rng(2), [0.9, 0.3], 1_000)
    found = flattery(models[0], models)
    assert np.abs(found.errors).max() < 1e-9


@pytest.mark.parametrize("rates", [[0.9] * 8, [0.9, 0.89, 0.88, 0.85, 0.8, 0.7]], ids=["equal", "apart"])
def test_intervals_cover_the_difference_from_the_best_model_of_a_sample(rates):
    """On 300 samples of 500 units each: the committee has a rate of 0.9, the best model that of its true rate."""
    rng = np.random.default_rng(3)
    covered, gaps = 0, []
    for _ in range(300):
        models, committee = right(rng, rates, 500), right(rng, [0.9], 500)[0]
        best = models.mean(axis=1).argmax()
        found = flattery(committee, models)
        estimate = committee.mean() - models[best].mean() + found.mean
        low, high = found.interval(estimate, 0.95)
        covered += low <= 0.9 - rates[best] <= high
        gaps.append(estimate - (0.9 - rates[best]))
    assert covered >= 0.92 * 300
    assert abs(np.mean(gaps)) < 0.004


def test_the_result_is_the_same_each_time():
    models = right(np.random.default_rng(4), [0.7, 0.72], 300)
    first, second = (flattery(models[0], models) for _ in range(2))
    assert (first.errors == second.errors).all()
