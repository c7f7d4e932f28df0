"""The fits of the adaptive search against other implementations, and what a search may not do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression, Ridge

import wisecommittee as wc
from wisecommittee import LogitStore
from wisecommittee.committees.posterior import STOPPING, value_features
from wisecommittee.errors import UsageError
from wisecommittee.searches.policies.adaptive.logit import Penalties, design, fit, objective, plain, probabilities
from wisecommittee.searches.policies.adaptive.states import Said, fitted, folds_of, one_hot, rank_knots, sets_of
from wisecommittee.searches.policies.adaptive.strategy import preselected
from wisecommittee.searches.policies.adaptive.values import RIDGE, STOPPING_RIDGE, valued

N = 900


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def said():
    """Two members, three labels, and an answer that is never right; the first member confuses two labels."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, N)
    first = np.where((truth == 1) & (rng.random(N) < 0.5), 2, truth)
    second = np.where(rng.random(N) < 0.7, truth, rng.integers(0, 4, N))
    answers = np.stack([first, second])
    score = (answers == truth) + rng.normal(size=(2, N))
    return Said.of(answers, score.astype(np.float32), truth)


def test_a_fit_without_votes_is_the_logistic_regression_of_scikit_learn(said):
    evidence = said.evidence((0, 1))
    true = said.true_classes(evidence, (0, 1))
    columns = design(evidence, Penalties(corrections=1.0, bias=1e-9, votes=1e9))
    numbers = fit(columns, one_hot(true, 3), precision=1e-9)
    ours = plain(numbers, columns, evidence)(evidence)
    where = [s == np.arange(4)[:, None] for s in evidence.said]
    rows = [w[a] * t for w, terms in zip(where, evidence.terms, strict=True) for a in range(4) for t in terms]
    theirs = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit(np.stack(rows, axis=1), true)
    assert np.abs(ours.T - theirs.predict_proba(np.stack(rows, axis=1))).max() < 0.01
    assert np.abs(ours - probabilities(numbers, columns, 3)).max() < 1e-4


@pytest.mark.parametrize("with_outputs", [False, True])
def test_the_gradient_is_that_of_the_objective(said, with_outputs):
    rng = np.random.default_rng(0)
    evidence = said.evidence((0, 1))
    if with_outputs:
        logs = np.log(rng.dirichlet(np.ones(3), (2, N))).swapaxes(1, 2).astype(np.float32)
        answers = logs.argmax(axis=1)
        evidence = Said.of(answers, said.terms[:, 1].astype(np.float32), said.truth, logs).evidence((0, 1))
    truth = one_hot(said.truth, 3)
    columns = design(evidence, Penalties(corrections=3.0, bias=0.5, votes=0.7, weights=2.0))
    numbers = 0.1 * rng.normal(size=len(fit(columns, truth)))
    _, gradient = objective(numbers, columns, truth)
    for at in rng.choice(len(numbers), 30, replace=False).tolist() + list(range(len(numbers) - 2, len(numbers))):

        def along(x, at=at):
            moved = numbers.copy()
            moved[at] = x[0]
            return objective(moved, columns, truth)[0]

        assert gradient[at] == pytest.approx(approx_fprime(numbers[[at]], along, 0.02)[0], rel=0.05, abs=0.2)


def test_held_out_posteriors_do_not_know_the_truth_of_their_units(said):
    folds = folds_of(N, 0)
    before = fitted(said, (0, 1), Penalties(1.0, 0.01, 0.01), folds)
    for fold in range(3):
        truth = said.truth.copy()
        truth[folds == fold] = np.random.default_rng(fold).permutation(truth[folds == fold])
        other = Said(said.answers, truth, said.ranks, said.terms, said.labels, said.others)
        after = fitted(other, (0, 1), Penalties(1.0, 0.01, 0.01), folds)
        these = folds == fold
        assert np.array_equal(after.held_out[:, these], before.held_out[:, these])
        assert np.abs(after.held_out[:, ~these] - before.held_out[:, ~these]).max() > 0.1


def test_values_are_those_of_backward_induction_by_ridge_regressions_of_scikit_learn(said):
    folds, penalties = folds_of(N, 0), Penalties(1.0, 0.01, 0.01)
    states = {route: fitted(said, route, penalties, folds) for route in sets_of(2, 2)}
    steps = {(): {0: 1.0, 1: 2.0}, (0,): {1: 2.0}, (1,): {0: 1.0}, (0, 1): {}}
    price = 0.02
    values = valued(states, steps, np.array([price]), folds, by_answer=True)

    def regressed(rows, target, ridge):
        held_out = np.empty(N)
        for fold in range(3):
            model = Ridge(alpha=ridge, solver="cholesky").fit(rows[folds != fold], target[folds != fold])
            held_out[folds == fold] = model.predict(rows[folds == fold])
        return held_out

    features = {
        r: value_features(s.held_out.astype(float), s.evidence, by_answer=True).T[:, 1:] for r, s in states.items()
    }
    stop = {}
    for route, state in states.items():
        right = state.held_out.argmax(axis=0) == said.truth
        top = state.held_out.max(axis=0)
        stop[route] = top + regressed(features[route][:, : STOPPING - 1], right - top, STOPPING_RIDGE)
    onward = {}
    for member in (0, 1):
        cost = price * steps[(member,)][1 - member]
        estimate = regressed(features[(member,)], stop[(0, 1)], RIDGE) - cost
        goes = estimate > stop[(member,)]
        assert (goes == (values.going[(member,)][0] == 1 - member)).mean() > 0.995
        onward[member] = np.where(goes, stop[(0, 1)] - cost, stop[(member,)]).mean() - price * steps[()][member]
    assert values.first == [max(onward, key=onward.get)]


def test_ranks_are_the_share_of_units_below_and_half_of_the_equal():
    score = np.array([3.0, 1.0, 1.0, 2.0, 5.0], np.float32)
    knots, ranks = rank_knots(score)
    assert knots.tolist() == [1, 2, 3, 5]
    assert ranks.tolist() == [0.2, 0.5, 0.7, 0.9]


def test_of_many_models_the_accurate_ones_that_complete_each_other_are_kept():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, N)
    accuracy = np.linspace(0.4, 0.8, 12)
    answers = np.where(rng.random((12, N)) < accuracy[:, None], truth, 3 + rng.integers(0, 3, N))
    kept = preselected(Said.of(answers, rng.normal(size=(12, N)).astype(np.float32), truth), np.arange(1.0, 13))
    assert len(kept) == 8
    assert 11 in kept
    assert kept == sorted(set(kept))


def store_of(folder, *, units, models=2, score=False):
    rng = np.random.default_rng(0)
    labels = rng.choice(["x", "y"], units)
    tables = []
    for m in range(models):
        right = rng.random(units) < 0.6 + 0.1 * m
        table = {"unit_id": np.arange(units).astype(str), "model": f"m{m}", "confidence": rng.random(units)}
        table |= {"answer": np.where(right, labels, rng.choice(["x", "y"], units)), "usd": 1.0 + 3 * m}
        tables.append(pd.DataFrame(table | ({"score": rng.random(units)} if score else {})))
    pd.concat(tables).to_csv(folder / "a.csv", index=False)
    pd.DataFrame({"unit_id": np.arange(units).astype(str), "label": labels}).to_csv(folder / "l.csv", index=False)
    store = LogitStore(folder / "logits")
    wc.import_answers(store, "val", folder / "a.csv", labels=folder / "l.csv")
    return store


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"units": 100, "models": 1}, "one model"),
        ({"units": 20}, "20 units"),
        ({"units": 100, "score": True}, "no grade"),
    ],
)
def test_what_it_cannot_serve_is_refused_with_the_reason(tmp_path, shape, message):
    with pytest.raises(UsageError, match=message):
        wc.search(store_of(tmp_path, **shape), policy="adaptive")


def test_the_worst_case_and_the_number_of_models_limit_what_units_run(tmp_path):
    store = store_of(tmp_path, units=400, models=3)  # costs 1, 4 and 7
    for options, most in (({"max_worst_cost": 8.0}, 8.0), ({"max_models": 1}, 7.0), ({"max_models": 2}, 12.0)):
        frontier = wc.search(store, policy="adaptive", threads=1, **options)
        assert len(frontier) > 1
        for e in frontier:
            assert e.worst_case_cost <= most
            assert max(map(len, e.committee.routes)) <= options.get("max_models", 3)


def test_two_searches_find_the_same(tmp_path):
    store = store_of(tmp_path, units=300, models=3)
    first, second = (wc.search(store, policy="adaptive", threads=threads) for threads in (1, 2))
    assert list(first) == list(second)
