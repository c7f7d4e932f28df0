"""Budgets of policies that are fitted: chosen by the costs on units that had no part in the fit."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from wisecommittee import LogitStore, ModelCard, Query
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.methods import strategy_for
from wisecommittee.searches.resampling.budget import STEP, STEPS, Budgeted
from wisecommittee.searches.resampling.cross_fit import CrossFit, FoldSearches, cross_fit
from wisecommittee.searches.resampling.rules import Mixed, Within
from wisecommittee.searches.search import solve
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution

COSTS = {"a": 1.0, "b": 4.0, "c": 12.0}
UNITS, CLASSES = 240, 6


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Answers of three models, right more often on some labels than on others."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, UNITS)
    made = LogitStore(tmp_path_factory.mktemp("budgets"))
    for k, model in enumerate(COSTS):
        right = rng.random(UNITS) < np.clip(0.45 + 0.18 * k + 0.1 * rng.normal(size=CLASSES)[labels], 0, 1)
        said = np.where(right, labels, (labels + rng.integers(1, CLASSES, UNITS)) % CLASSES)
        sure = np.round(0.4 * right + 0.6 * rng.random(UNITS), 2)
        made.add(
            ModelCard(model, kind="answers", costs={"usd": COSTS[model]}), "val", labels=labels.astype(str),
            answers=said.astype(str), scores={"confidence": sure},
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def folds_of(store):
    @functools.cache
    def searched(policy):
        problem = pose(store, Query(policy=policy, cost="usd"), Execution(threads=1))
        solution = solve(problem, strategy_for(problem))
        crossfit = cross_fit(FoldSearches(solution, 4, 1, 0))
        assert isinstance(crossfit, CrossFit)
        return solution.frontier, crossfit

    return searched


@pytest.mark.parametrize("policy", ["labels", "adaptive"])
@pytest.mark.parametrize("mix", [False, True])
def test_the_budget_is_the_largest_whose_committees_keep_it_on_their_folds(folds_of, policy, mix):
    """By the definition: each unit pays for the committee that is chosen without its fold."""

    def choose(limit, frontier):
        return Mixed(limit, 0).of(frontier) if mix else Within(limit).of(frontier).committee

    _, crossfit = folds_of(policy)
    (folds,), unit = crossfit.repeats, float(crossfit.pool.cost.unit)
    limits = [6.0 * (1 - STEP * step) for step in range(STEPS)]
    paid = np.empty((STEPS, UNITS))
    for fold in folds:
        for step, limit in enumerate(limits):
            paid[step, fold.held_out] = fold.outcomes([choose(limit, fold.frontier)])[0].cost * unit
    rule = Budgeted.of(crossfit, 6.0, choose)
    keeping = [limit for limit, costs in zip(limits, paid, strict=True) if costs.mean() <= 6.0 + 1e-9]
    assert rule.limit == max(keeping, default=limits[-1])
    for fold in folds:
        others = paid[:, fold.trained].mean(axis=1)
        keeping = [limit for limit, mean in zip(limits, others, strict=True) if mean <= 6.0 + 1e-9]
        assert rule(fold) == choose(max(keeping, default=limits[-1]), fold.frontier)


def test_thresholds_are_chosen_within_the_budget_as_it_is(store, folds_of):
    frontier, _ = folds_of("thresholds")
    asked = Query(cost="usd"), Target("target_cost", 6.0), Execution(threads=1), Selection(folds=4)
    assert search_and_choose(store, *asked).val.committee.stages == Within(6.0).of(frontier).committee.stages


def test_a_choice_of_a_fitted_policy_lowers_the_budget(store, folds_of):
    frontier, crossfit = folds_of("adaptive")
    rule = Budgeted.of(crossfit, 6.0, lambda limit, each: Within(limit).of(each).committee)
    asked = Query(cost="usd", policy="adaptive"), Target("target_cost", 6.0), Execution(threads=1), Selection(folds=4)
    chosen = search_and_choose(store, *asked)
    assert chosen.val.committee.policy == Within(rule.limit).of(frontier).committee.policy
    assert chosen.evidence.expected.average_cost <= 6.0 * 1.05
