"""The robust search: smoothed correctness against isotonic regression by its definition, and where it does nothing."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from pools import MemoryStore, random_pool
from sklearn.isotonic import IsotonicRegression

from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.robust import FEWEST_LEVELS, robust_problem
from wisecommittee.searches.resampling.smoothing import SCALE
from wisecommittee.searches.search import solution_of, solve
from wisecommittee.searches.workers.execution import Execution


def problem_of(models, labels, **query):
    solution = solution_of(MemoryStore(models, labels), Query(**query), Execution(threads=1))
    return replace(solution.problem, tables=solution.tables), solution.strategy


def models_of(seed=0, units=300):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, units)
    models = []
    for k, cost in enumerate((1, 2, 5)):
        logits = rng.normal(size=(units, 4)) + (0.8 + 0.6 * k) * np.eye(4)[labels]
        models.append(naive.Model(f"m{k}", f"m{k}", 0, {f"m{k}": cost}, logits.astype(np.float32)))
    return models, labels.tolist()


@pytest.mark.parametrize(("units", "part"), [(300, 0.5), (1_000, 0.5), (2_000, 0.25)])
def test_a_part_of_the_correctness_is_the_isotonic_regression_on_confidence(units, part):
    problem, _ = problem_of(*models_of(units=units))
    smooth = robust_problem(problem)
    compared = 0
    for node, row in enumerate(problem.tables.score_row):
        right = problem.tables.correct.row(node).astype(float)
        found = smooth.tables.correct.row(node) / SCALE
        if row < 0:
            assert (found == right).all()
            continue
        score = problem.tables.score[row].astype(float)
        fitted = IsotonicRegression().fit(score, right).predict(score)
        assert found == pytest.approx((1 - part) * right + part * fitted, abs=1 / SCALE + 1e-6)
        exact = ((1 - part) * right + part * fitted)[np.argsort(score, kind="stable")].cumsum()
        assert found[np.argsort(score, kind="stable")].cumsum() == pytest.approx(exact, abs=0.5 / SCALE + 1e-6)
        assert found.sum() == pytest.approx(right.sum(), abs=0.5 / SCALE + 1e-6)
        compared += 1
    assert compared > 3


def test_it_has_few_levels_and_finds_committees_within_the_same_limits():
    problem, strategy = problem_of(*models_of(1))
    assert robust_problem(problem).query.levels == FEWEST_LEVELS
    more, _ = problem_of(*models_of(1, units=1_500))
    assert robust_problem(more).query.levels == 30
    few = replace(problem, query=replace(problem.query, levels=7))
    assert robust_problem(few).query.levels == 7
    frontier = solve(robust_problem(problem), strategy).frontier
    costs = [e.average_cost for e in frontier]
    assert costs == sorted(costs)
    assert all(0 <= e.quality <= 1 for e in frontier)


def test_stored_confidences_are_left_as_they_are():
    models, labels = models_of(2)
    rng = np.random.default_rng(0)
    kept = [replace(m, stored_scores={"confidence": rng.random(300).astype(np.float32).tolist()}) for m in models]
    problem, _ = problem_of(kept, labels, confidence="confidence")
    assert robust_problem(problem) is problem


def test_a_pool_of_any_kind_can_be_smoothed():
    problem, strategy = problem_of(*random_pool(units=120, models=4), combine="mean_probs", max_models=3)
    assert solve(robust_problem(problem), strategy).frontier.best().n == 120
