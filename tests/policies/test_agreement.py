"""Exits by the number of members that agree: evaluation, units and deployment as loops, and the search."""

from __future__ import annotations

import itertools
import json

import naive_policies
import numpy as np
import pandas as pd
import pytest
import torch

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard
from wisecommittee.committees.policies.agreement import Agreement
from wisecommittee.committees.policy import ALWAYS
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.search import search
from wisecommittee.searches.units import evaluate_units

N = 120
MODELS = "abc"
USD = {"a": 1, "b": 2, "c": 4}
BY_VOTE = {"thresholds": [[None], [None, ALWAYS]], "best": ["c", "a", "b"]}
WITH_CONFIDENCE = {"thresholds": [[0.625], [0.5, ALWAYS]], "best": ["a", "c", "b"]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def said():
    """(answers, confidences of five values) of each model, and the labels."""
    rng = np.random.default_rng(2)
    labels = rng.choice(["p", "q", "r"], N)
    out = {}
    for name, right in zip(MODELS, (0.55, 0.65, 0.7), strict=True):
        answers = np.where(rng.random(N) < right, labels, rng.choice(["p", "q", "r", ""], N))
        out[name] = answers.tolist(), (rng.integers(1, 6, N) / 8).tolist()
    return out, labels.tolist()


def stored(tmp_path, said, *, confidence=True):
    models, labels = said
    rows = [
        {"unit_id": str(i), "model": m, "answer": models[m][0][i], "confidence": models[m][1][i], "usd": USD[m]}
        for m in MODELS
        for i in range(N)
    ]
    table = pd.DataFrame(rows)
    (table if confidence else table.drop(columns="confidence")).to_csv(tmp_path / "answers.csv", index=False)
    pd.DataFrame({"unit_id": map(str, range(N)), "label": labels}).to_csv(tmp_path / "labels.csv", index=False)
    store = LogitStore(tmp_path / "store")
    wc.import_answers(store, "val", tmp_path / "answers.csv", labels=tmp_path / "labels.csv")
    return store


def committee_of(policy, models=MODELS, **more):
    data = {"version": 1, "stages": [[m] for m in models], "thresholds": [], "policy": {"kind": "agreement", **policy}}
    return Committee.from_json(json.loads(json.dumps(data | more)))


def by_hand(policy, said, models=MODELS):
    """[(how many members run, the answer)] of every unit."""
    return [
        naive_policies.agreement(policy, list(models), *([said[m][x][i] for m in models] for x in range(2)))
        for i in range(N)
    ]


@pytest.mark.parametrize("policy", [BY_VOTE, WITH_CONFIDENCE])
def test_members_vote_until_enough_agree(tmp_path, said, policy):
    store = stored(tmp_path, said)
    expected = by_hand(policy, said[0])
    assert {ran for ran, _ in expected} == ({2, 3} if policy is BY_VOTE else {1, 2, 3})
    committee = committee_of(policy, combine="last", confidence="confidence", cost="usd")
    units = evaluate_units(committee, store, "val")
    assert units["prediction"].tolist() == [answer for _, answer in expected]
    assert units["stage"].tolist() == [ran for ran, _ in expected]
    assert units["cost"].tolist() == [sum(USD[m] for m in MODELS[:ran]) for ran, _ in expected]
    e = evaluate(committee, store, "val")
    assert e.correct == sum(answer == label for (_, answer), label in zip(expected, said[1], strict=True))
    assert committee.to_json()["policy"] == {"kind": "agreement", **policy, "log_odds": []}


def test_conditions_say_how_many_agree():
    policy = Agreement(((0.625,), (0.5, ALWAYS), (None, None, ALWAYS), (ALWAYS, 0.5, None, None)), ("a",))
    assert policy.conditions(5, "confidence") == [
        "confidence >= 0.625",
        "2 of 2 agree, or 1 of 2 and confidence >= 0.5",
        "3 of 3 agree",
        "2 of 4 and confidence >= 0.5, or exactly 1 of 4",
    ]


def test_deployed_models_vote_too(tmp_path):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, N)
    outputs = {m: rng.normal(size=(N, 3)).astype(np.float32) for m in MODELS}
    store = LogitStore(tmp_path / "logits")
    for m, rows in outputs.items():
        store.add(ModelCard(m, blocks={m: USD[m]}), "val", outputs=rows, labels=labels)
    said = {}
    for m, rows in outputs.items():
        exps = np.exp(rows.astype(np.float64) - rows.max(axis=1, keepdims=True))
        said[m] = rows.argmax(axis=1).tolist(), (exps.max(axis=1) / exps.sum(axis=1)).tolist()
    committee = committee_of(WITH_CONFIDENCE)
    expected = by_hand(WITH_CONFIDENCE, said)
    units = evaluate_units(committee, store, "val")
    assert units["prediction"].tolist() == [answer for _, answer in expected]
    functions = {m: lambda x, m=m: outputs[m][np.asarray(x)[:, 0].astype(int)] for m in MODELS}
    with wc.deploy(committee, functions, device="cpu") as run:
        out = run(torch.arange(N, dtype=torch.float32)[:, None])
    assert out.prediction.tolist() == units["prediction"].tolist()
    assert (out.stage + 1).tolist() == [ran for ran, _ in expected]


def test_no_rule_without_confidences_is_better(tmp_path, said):
    """By trying every sequence and every number of votes: the frontier's committees are the best at their prices."""
    store = stored(tmp_path, said, confidence=False)
    frontier = search(store, policy="agreement")
    figures = [(e.average_cost, e.quality) for e in frontier.evaluations]
    best = sorted(USD, key=lambda m: -np.mean([a == b for a, b in zip(said[0][m][0], said[1], strict=True)]))
    tried = []
    for size in (1, 2, 3):
        for models in itertools.permutations(MODELS, size):
            ways = [itertools.product((None, ALWAYS), repeat=k) for k in range(1, size)]
            for lines in itertools.product(*ways):
                policy = {"thresholds": [list(line) for line in lines], "best": [m for m in best if m in models]}
                hand = by_hand(policy, {m: (said[0][m][0], [0.0] * N) for m in MODELS}, models)
                cost = np.mean([sum(USD[m] for m in models[:ran]) for ran, _ in hand])
                tried.append((cost, np.mean([a == b for (_, a), b in zip(hand, said[1], strict=True)])))
    for price in (0.001, 0.02, 0.05, 0.1, 0.3):
        assert max(q - price * c for c, q in figures) == pytest.approx(max(q - price * c for c, q in tried), abs=0.004)
    for e in frontier.evaluations:
        assert e.correct == evaluate(Committee.from_json(e.committee.to_json()), store, "val").correct


def test_votes_and_confidences_are_searched_together(tmp_path, said):
    frontier = search(stored(tmp_path, said), policy="agreement")
    kinds = {e.committee.policy.kind for e in frontier.evaluations}
    assert kinds == {"thresholds", "agreement"}
    for e in frontier.evaluations:
        assert e.committee.policy.kind == "agreement" or len(e.committee.stages) == 1


def test_a_limit_on_the_worst_case_is_kept(tmp_path, said):
    frontier = search(stored(tmp_path, said), policy="agreement", max_worst_cost=3)
    assert max(e.worst_case_cost for e in frontier.evaluations) <= 3


def test_what_cannot_vote_is_refused(tmp_path, said):
    with pytest.raises(UsageError, match="at least two models"):
        search(stored(tmp_path, said), policy="agreement", models=("a",))


def voted_by_hand(members, best, answers, grades, costs):
    """(mean grade, mean cost) of 'exit once two agree' over a chain, unit by unit."""
    total = paid = 0.0
    for i in range(N):
        said, ran = [], []
        for place, m in enumerate(members):
            ran.append(m)
            said.append(answers[m][i])
            paid += costs[m]
            votes = {text: said.count(text) for text in said if text}
            most = max(votes.values(), default=0)
            if place == len(members) - 1 or most >= 2:
                order = best if place == len(members) - 1 else ran[::-1]
                speaker = next(m for m in order if m in ran and votes.get(answers[m][i], 0) == most)
                total += grades[speaker][i]
                break
    return total / N, paid / N


def test_votes_among_graded_answers_earn_the_grade_of_the_member_that_is_quoted(tmp_path, said):
    models, _ = said
    rng = np.random.default_rng(6)
    answers = {m: models[m][0] for m in MODELS}
    grades = {m: (rng.integers(0, 5, N) / 4 * (np.array(answers[m]) != "")).tolist() for m in MODELS}
    rows = [{"unit_id": str(i), "model": m, "answer": answers[m][i], "score": grades[m][i], "usd": USD[m]}
            for m in MODELS for i in range(N)]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "graded.csv", index=False)
    graded = LogitStore(tmp_path / "graded")
    wc.import_answers(graded, "val", tmp_path / "graded.csv")
    for members in itertools.permutations(MODELS):
        policy = Agreement(((None,), (None, ALWAYS)), ("c", "a", "b"))
        committee = Committee(tuple((m,) for m in members), policy, confidence="none", combine="last", cost="usd")
        quality, cost = voted_by_hand(members, "cab", answers, grades, USD)
        e = evaluate(committee, graded, "val")
        assert (e.quality, e.average_cost) == (pytest.approx(quality), pytest.approx(cost))
    frontier = search(graded, policy="agreement")
    for e in frontier.evaluations:
        again = evaluate(Committee.from_json(e.committee.to_json()), graded, "val")
        assert (again.quality, again.average_cost) == (e.quality, e.average_cost)
    voting = next(e for e in frontier.evaluations if e.committee.policy.kind == "agreement")
    assert evaluate_units(voting.committee, graded, "val")["score"].mean() == pytest.approx(voting.quality)


WRONG = {
    "thresholds": [
        *([[0.5]], [[0.5], [0.5]], [[0.5], ["x", None]], [[0.5], [1e39, None]]),
        *([0.5, 0.5], "ab", [[True], [None, None]]),
    ],
    "best": [["a", "b"], ["a", "b", "c", "d"], ["a", "a", "b"], "abc", [1, 2, 3]],
    "log_odds": [[[None]], [[3.0], [None, None]], [[None], [None, "x"]]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_policies_that_make_no_sense_are_refused(name, value):
    committee_of(BY_VOTE)
    with pytest.raises(CommitteeError):
        committee_of({**BY_VOTE, name: value}, confidence="confidence", combine="last")
