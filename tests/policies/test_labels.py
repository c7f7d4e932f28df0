"""Rules by predicted label: evaluation, units and deployment as loops over the definition; the search for them."""

from __future__ import annotations

import json

import naive
import naive_policies
import numpy as np
import pandas as pd
import pytest
import torch

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policy import ALWAYS
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.policies.labels.building import build
from wisecommittee.searches.policies.labels.growing import promising
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.units import evaluate_units
from wisecommittee.searches.workers.execution import Execution

N, CLASSES = 90, 3
COSTS = {"a": 10, "b": 30, "c": 25}
POLICY = {
    "kind": "labels",
    "labels": [0, 2],
    "after": [[0], [0, 1], [0, 2]],
    "thresholds": [[0.6, None, 0.75], [ALWAYS, 0.8, 0.7], [0.7, 0.65, None]],
    "following": [[1, 2, 1], [2, 2, 2], [1, 1, 1]],
}
OWN = {"labels": ["x", "y"], "after": [[0]], "thresholds": [[0.5, None, 0.25]], "following": [[1, 2, 1]]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def rows():
    """Logits in halves, so that confidences tie."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, CLASSES, N)
    outputs = {}
    for name, sharpness in (("a", 1.0), ("b", 1.5), ("c", 1.5)):
        logits = rng.integers(-2, 3, (N, CLASSES)) / 2
        logits[np.arange(N), labels] += sharpness
        outputs[name] = logits.astype(np.float32)
    return outputs, labels


@pytest.fixture
def store(tmp_path, rows):
    outputs, labels = rows
    store = LogitStore(tmp_path / "logits")
    for name, logits in outputs.items():
        store.add(ModelCard(name, blocks={name: COSTS[name]}), "val", outputs=logits, labels=labels)
    return store


def committee_of(policy, models="abc", **more):
    data = {"version": 1, "stages": [[m] for m in models], "thresholds": [], "policy": policy, **more}
    return Committee.from_json(json.loads(json.dumps(data)))


def members(rows, route):
    order = sorted("abc"[k] for k in route)
    return [naive.Model(name, name, 0, {name: COSTS[name]}, rows[0][name]) for name in order]


def test_units_run_the_stages_of_their_labels_wherever_they_are_evaluated(store, rows):
    said = {}
    for route in ((0,), (0, 1), (0, 2), (0, 1, 2), (0, 2, 1)):
        together = members(rows, route), "mean_logits"
        said[route] = naive.prediction(*together), naive.confidence(*together, "max_prob")
    expected = [naive_policies.labels_route(POLICY, lambda route, i: [x[i] for x in said[route]], i) for i in range(N)]
    assert len(set(expected)) == 5

    committee = committee_of(POLICY)
    units = evaluate_units(committee, store, "val")
    cost = [sum(COSTS["abc"[k]] for k in route) for route in expected]
    assert units["cost"].tolist() == cost
    assert units["prediction"].tolist() == [said[route][0][i] for i, route in enumerate(expected)]
    e = evaluate(committee, store, "val")
    assert e.correct == sum(said[route][0][i] == rows[1][i] for i, route in enumerate(expected))
    assert e.average_cost == pytest.approx(sum(cost) / N)
    functions = {m: lambda x, m=m: rows[0][m][np.asarray(x)[:, 0].astype(int)] for m in "abc"}
    with wc.deploy(committee, functions, device="cpu") as run:
        out = run(torch.arange(N, dtype=torch.float32)[:, None])
    assert out.prediction.tolist() == units["prediction"].tolist()
    assert out.ran.tolist() == [[k in route for k in range(3)] for route in expected]
    assert committee.to_json()["policy"] == {**POLICY, "log_odds": []}
    assert committee.conditions() == [
        "max_prob >= 0.6 to 0.75 by predicted label, for some never",
        "max_prob >= 0.7 to 0.8 by predicted label, for some always",
    ]


@pytest.fixture
def answers(tmp_path):
    """Answers as text with five values of confidence, and a cost for each unit."""
    rng = np.random.default_rng(7)
    labels = rng.choice(["x", "y", "z"], N)
    said = {}
    for name, right, dear in (("a", 0.5, 1), ("b", 0.8, 5), ("c", 0.8, 5)):
        answer = np.where(rng.random(N) < right, labels, rng.choice(["x", "y", "z"], N))
        said[name] = answer.tolist(), (rng.integers(1, 6, N) / 8).tolist(), rng.integers(dear, 2 * dear + 2, N).tolist()
    table = [
        {"unit_id": str(i), "model": name, "answer": s[0][i], "confidence": s[1][i], "usd": s[2][i]}
        for name, s in said.items()
        for i in range(N)
    ]
    pd.DataFrame(table).to_csv(tmp_path / "answers.csv", index=False)
    pd.DataFrame({"unit_id": map(str, range(N)), "label": labels}).to_csv(tmp_path / "labels.csv", index=False)
    store = LogitStore(tmp_path / "answers")
    wc.import_answers(store, "val", tmp_path / "answers.csv", labels=tmp_path / "labels.csv")
    return store, said, labels.tolist()


def test_the_newest_answers_and_equality_exits(answers):
    store, said, labels = answers
    policy = {
        "labels": ["x", "y"],
        "after": [[0], [0, 1], [0, 2]],
        "thresholds": [[0.5, None, 0.25], [0.125, 0.375, ALWAYS], [0.375, None, 0.625]],
        "following": [[1, 2, 1], [2, 2, 2], [1, 1, 1]],
    }

    def newest(route, i):
        return said["abc"[route[-1]]][0][i], said["abc"[route[-1]]][1][i]

    expected = [naive_policies.labels_route(policy, newest, i) for i in range(N)]
    committee = committee_of({"kind": "labels", **policy}, confidence="confidence", combine="last", cost="usd")
    units = evaluate_units(committee, store, "val")
    assert units["prediction"].tolist() == [said["abc"[route[-1]]][0][i] for i, route in enumerate(expected)]
    assert units["cost"].tolist() == [sum(said["abc"[k]][2][i] for k in route) for i, route in enumerate(expected)]
    assert evaluate(committee, store, "val").correct == sum(
        said["abc"[route[-1]]][0][i] == labels[i] for i, route in enumerate(expected)
    )


@pytest.mark.parametrize("kind", ["rows", "answers"])
def test_a_search_reports_what_its_rules_do(kind, store, answers):
    """Every committee exits where the rules that it was built from do."""
    source = store if kind == "rows" else answers[0]
    problem = pose(source, Query(policy="labels"), Execution())
    fitting, prices = promising(problem)
    for price in prices:
        for shrinkage in (0.0, 5.0, np.inf):
            best = fitting.best(price, shrinkage)
            e = evaluate(build(problem.pool, fitting.said, best.found), source, "val")
            assert e.quality == pytest.approx(best.quality, abs=1e-12)
            assert e.average_cost == pytest.approx(best.cost * float(problem.pool.cost.unit), rel=1e-9)
            again = Committee.from_json(json.loads(json.dumps(e.committee.to_json())))
            assert evaluate(again, source, "val").correct == e.correct


def test_rules_that_float32_confidences_cannot_part_have_log_odds(tmp_path):
    """Sure units, which only log-odds part: those of label 0 are right from 20 on, those of label 1 never."""
    rng = np.random.default_rng(8)
    predicted, gap = rng.integers(0, 2, 400), rng.uniform(17.5, 25, 400)
    right = (predicted == 0) & (gap > 20)
    logits = np.zeros((400, 2), np.float32)
    logits[np.arange(400), predicted] = gap
    truth = np.where(right, predicted, 1 - predicted)
    second = np.eye(2, dtype=np.float32)[truth] * 40
    store = LogitStore(tmp_path / "sure")
    store.add(ModelCard("a", blocks={"a": 1}), "val", outputs=logits, labels=truth)
    store.add(ModelCard("b", blocks={"b": 9}), "val", outputs=second, labels=truth)
    best = search(store, policy="labels", combine="last").best()
    assert best.quality == 1.0
    assert best.average_cost == pytest.approx(1 + 9 * (1 - right.mean()))
    assert any(number is not None for line in best.committee.policy.log_odds for number in line)
    assert evaluate(Committee.from_json(best.committee.to_json()), store, "val").quality == 1.0


def test_labels_that_only_test_has_are_said_and_take_the_rule_of_all_others(tmp_path, answers):
    store, said, labels = answers
    rows = [{"unit_id": f"t{i}", "model": m, "answer": "w", "confidence": s[1][i], "usd": s[2][i]}
            for m, s in said.items() for i in range(N)]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "test.csv", index=False)
    truth = ["w" if i % 2 else label for i, label in enumerate(labels)]
    pd.DataFrame({"unit_id": [f"t{i}" for i in range(N)], "label": truth}).to_csv(tmp_path / "t.csv", index=False)
    wc.import_answers(store, "test", tmp_path / "test.csv", labels=tmp_path / "t.csv")
    heard = []
    frontier = search(store, policy="labels", notify=heard.append)
    assert any("val lacks 1 label of test, such as 'w'" in line for line in heard)
    longer = [e.committee for e in frontier.evaluations if len(e.committee.stages) > 1]
    assert longer
    for committee in longer:
        policy, models = committee.to_json()["policy"], committee.models
        costs = evaluate_units(committee, store, "test")["cost"].tolist()
        for i in range(N):
            route = naive_policies.labels_route(policy, lambda r, i, models=models: ("w", said[models[r[-1]]][1][i]), i)
            assert costs[i] == sum(said[models[k]][2][i] for k in route)


def test_limits_and_the_order_of_replicas_are_kept(tmp_path):
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 3, 200)
    store = LogitStore(tmp_path / "replicas")
    for name, cost in (("a/0", 5), ("a/1", 5), ("b/0", 7)):
        logits = rng.normal(size=(200, 3)) + 1.5 * np.eye(3)[labels]
        store.add(ModelCard(name, blocks={name: cost}), "val", outputs=logits.astype(np.float32), labels=labels)
    for query in (Query(policy="labels"), Query(policy="labels", max_worst_cost=12)):
        frontier = search(store, query)
        for e in frontier.evaluations:
            assert e.worst_case_cost <= (query.max_worst_cost or 17)
            for route in e.committee.routes:
                ran = [model for k in route for model in e.committee.stages[k]]
                assert "a/1" not in ran or ran == ["a/1"] or ran.index("a/0") < ran.index("a/1")


def test_labels_gain_where_confidences_mean_different_things(tmp_path):
    """Label 0 is right at any confidence, label 1 at none: no single threshold parts right from wrong."""
    rng = np.random.default_rng(10)
    parts = {}
    for split in ("val", "test"):
        predicted, sure = rng.integers(0, 2, 600), rng.random(600)
        right = rng.random(600) < np.where(predicted == 0, 0.97, 0.3)
        truth = np.where(right, predicted, 1 - predicted)
        parts[split] = predicted, sure, truth, np.where(rng.random(600) < 0.95, truth, 1 - truth)
    store = LogitStore(tmp_path / "apart")
    for split, (predicted, sure, truth, second) in parts.items():
        rows = [{"unit_id": str(i), "model": m, "answer": str(x[i]), "confidence": sure[i], "usd": c}
                for m, x, c in (("a", predicted, 1), ("b", second, 10)) for i in range(600)]  # fmt: skip
        pd.DataFrame(rows).to_csv(tmp_path / "answers.csv", index=False)
        pd.DataFrame({"unit_id": map(str, range(600)), "label": truth.astype(str)}).to_csv(
            tmp_path / "l.csv", index=False
        )
        wc.import_answers(store, split, tmp_path / "answers.csv", labels=tmp_path / "l.csv")
    figures = {}
    for policy in ("thresholds", "labels"):
        frontier = search(store, policy=policy)
        chosen = frontier.within(average_cost=6.5).committee
        figures[policy] = evaluate(chosen, store, "test")
    assert figures["labels"].quality > figures["thresholds"].quality + 0.05
    assert frontier.searched["certified"] is False
    assert frontier.searched["shrinkage"] is not None


def test_noise_gets_one_rule_for_all_labels(tmp_path):
    """Where labels do not matter, cross-fitting draws their rules together."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, 10, 400)
    store = LogitStore(tmp_path / "alike")
    for name, sharpness, cost in (("a", 1.5, 1), ("b", 3.0, 10)):
        logits = rng.normal(size=(400, 10)) + sharpness * np.eye(10)[labels]
        store.add(ModelCard(name, blocks={name: cost}), "val", outputs=logits.astype(np.float32), labels=labels)
    assert search(store, policy="labels").searched["shrinkage"] in (None, 500.0)


WRONG = {
    "labels": [["0"], [0, "1"], [1, 0], [True], [0.5], 3, [-1]],
    "after": [[[1]], [[]], [[0], [0]], [[0, 1]], [0], [[0, True]], [[-1]]],
    "thresholds": [[[0.5]], [[0.5, 0.5, 1e39]], [[0.5, 0.5, "x"]], [[0.5, 0.5, True]], [], "abc"],
    "following": [[[1, 1]], [[0, 0, 0]], [[1, 1, 9]], [[1, 1, None]], [[1, 1, 1.0]]],
    "log_odds": [[[None, None]], [[None, None, 3.0]]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_policies_that_make_no_sense_are_refused(name, value):
    good = {"labels": [0, 1], "after": [[0]], "thresholds": [[0.5, 0.5, None]], "following": [[1, 1, 1]]}
    committee_of({"kind": "labels", **good}, "ab")
    if (name, value) == ("labels", ["0"]):
        value = ["0", "1", "2"]
    with pytest.raises(CommitteeError):
        committee_of({"kind": "labels", **good, name: value}, "ab")


def test_text_rules_for_numbered_classes_are_an_error(store):
    committee = committee_of({"kind": "labels", **OWN})
    with pytest.raises(CommitteeError, match="'x'"):
        evaluate(committee, store, "val")


def test_labels_without_a_rule_take_the_last():
    policy = Labels((3, 8), ((0,),), ((0.5, None, 0.2),), ((1, 1, 1),))
    assert policy._columns(np.array([8, 3, 5, 0, 9])).tolist() == [1, 0, 2, 2, 2]
    assert Labels((), ((0,),), ((0.2,),), ((1,),))._columns(np.array(["p", "q"])).tolist() == [0, 0]
