"""Exits on two sides of the probability of a class: evaluation, units and deployment as loops, and the search."""

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
from wisecommittee.committees.policies.window import Window
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.policies.window.fitting import Line
from wisecommittee.searches.search import search
from wisecommittee.searches.units import evaluate_units

N = 200
USD = {"a": 1, "b": 4}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def scored():
    """({model: P(yes) in steps of 1/16}, the labels): an answer is yes from 1/2 on."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, N)
    levels = {
        m: np.clip(np.rint(16 * (0.5 + (truth - 0.5) * pull + rng.normal(size=N) * 0.25)), 0, 16) / 16
        for m, pull in (("a", 0.4), ("b", 0.9))
    }
    return levels, np.where(truth == 1, "yes", "no")


def stored(tmp_path, scored, labels=None):
    levels, truth = scored
    rows = [
        {"unit_id": str(i), "model": m, "answer": "yes" if p[i] >= 0.5 else "no", "confidence": p[i], "usd": USD[m]}
        for m, p in levels.items()
        for i in range(N)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "answers.csv", index=False)
    truth = truth if labels is None else labels
    pd.DataFrame({"unit_id": map(str, range(N)), "label": truth}).to_csv(tmp_path / "labels.csv", index=False)
    store = LogitStore(tmp_path / "store")
    wc.import_answers(store, "val", tmp_path / "answers.csv", labels=tmp_path / "labels.csv")
    return store


def committee_of(policy, **more):
    data = {"version": 1, "stages": [["a"], ["b"]], "thresholds": [], "policy": {"kind": "window", **policy}}
    return Committee.from_json(json.loads(json.dumps(data | more)))


SIDES = [(0.25, 0.75), (None, 0.6875), (0.1875, None), (None, None), (0.0, 1.0)]


@pytest.mark.parametrize(("low", "high"), SIDES)
def test_likely_and_unlikely_units_exit(tmp_path, scored, low, high):
    levels, truth = scored
    stage = [naive_policies.window_stage([low], [high], [levels["a"][i]]) for i in range(N)]
    committee = committee_of({"low": [low], "high": [high]}, confidence="confidence", combine="last", cost="usd")
    store = stored(tmp_path, scored)
    units = evaluate_units(committee, store, "val")
    assert (units["stage"] - 1).tolist() == stage
    answers = [levels["ab"[k]][i] >= 0.5 for i, k in enumerate(stage)]
    assert units["prediction"].tolist() == ["yes" if yes else "no" for yes in answers]
    assert evaluate(committee, store, "val").correct == sum(
        yes == (label == "yes") for yes, label in zip(answers, truth, strict=True)
    )


def rows_of(tmp_path, sharp):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, N)
    outputs = {}
    for m, pull in (("a", 1.0), ("b", 3.0)):
        margin = (2 * labels - 1) * pull + rng.normal(size=N)
        outputs[m] = np.stack([np.zeros(N), sharp * margin], axis=1).astype(np.float32)
    store = LogitStore(tmp_path / "rows")
    for m, rows in outputs.items():
        store.add(ModelCard(m, blocks={m: USD[m]}), "val", outputs=rows, labels=labels)
    return store, outputs, labels


@pytest.mark.parametrize(("low", "high"), SIDES)
def test_rows_over_two_classes_exit_by_the_positive_class(tmp_path, low, high):
    store, outputs, _ = rows_of(tmp_path, 1.0)
    positive = 1 / (1 + np.exp(-outputs["a"][:, 1].astype(float)))
    stage = [naive_policies.window_stage([low], [high], [p]) for p in positive]
    committee = committee_of({"low": [low], "high": [high], "positive": 1})
    units = evaluate_units(committee, store, "val")
    assert (units["stage"] - 1).tolist() == stage
    functions = {m: lambda x, m=m: outputs[m][np.asarray(x)[:, 0].astype(int)] for m in "ab"}
    with wc.deploy(committee, functions, device="cpu") as run:
        out = run(torch.arange(N, dtype=torch.float32)[:, None])
    assert out.stage.tolist() == stage
    assert out.prediction.tolist() == units["prediction"].tolist()


def test_the_best_window_of_a_stage_is_that_of_all_pairs():
    rng = np.random.default_rng(5)
    for _ in range(200):
        place = rng.integers(-3, 4, 12) if rng.random() < 0.5 else rng.integers(0, 6, 12)
        signed = place.min() < 0
        distinct, counts = np.unique(place, return_counts=True)
        divide = int((distinct < 0).sum()) if signed else None
        gain = rng.integers(-3, 4, 12).astype(float)
        low, high = Line(np.argsort(place, kind="stable"), np.cumsum(counts), divide).sides(gain)
        borders = [*distinct.tolist(), 99]
        best = max(
            gain[(place >= start) & (place < stop)].sum()
            for start, stop in itertools.product(borders, borders)
            if divide is None or ((start >= 99 or borders.index(start) <= divide) and borders.index(stop) >= divide)
        )
        assert gain[~(low | high)].sum() == pytest.approx(max(best, 0.0))
        assert not (low & high).any()


@pytest.mark.parametrize("kind", ["scores", "rows", "sure rows"])
def test_the_search_finds_windows_and_reports_what_they_do(tmp_path, scored, kind):
    store = stored(tmp_path, scored) if kind == "scores" else rows_of(tmp_path, 1.0 if kind == "rows" else 9.0)[0]
    frontier = search(store, policy="window", **({"combine": "last"} if kind != "scores" else {}))
    windows = [e for e in frontier.evaluations if e.committee.policy.kind == "window"]
    assert windows
    assert any(None not in e.committee.policy.low + e.committee.policy.high for e in windows)
    for e in windows:
        again = evaluate(Committee.from_json(json.loads(json.dumps(e.committee.to_json()))), store, "val")
        assert (again.correct, again.average_cost) == (e.correct, e.average_cost)
    cost = {m: store.card(m, "val").costs.get("usd", USD[m]) for m in "ab"}
    plain = search(store, policy="thresholds", **({"combine": "last"} if kind != "scores" else {}))
    best = max(e.quality for e in windows if e.average_cost <= (cost["a"] + cost["b"]) / 2)
    assert best >= max(e.quality for e in plain.evaluations if e.average_cost <= (cost["a"] + cost["b"]) / 2) - 0.01
    if kind == "scores":  # thresholds exit on one side only
        assert best > max(e.quality for e in plain.evaluations if e.average_cost <= 2.5) + 0.02


def test_more_than_two_classes_are_refused(tmp_path, scored):
    store = stored(tmp_path, scored, labels=["yes", "no", "maybe", "no"] * (N // 4))
    with pytest.raises(UsageError, match=r"two classes.*labels"):
        search(store, policy="window")
    rows, _, _ = rows_of(tmp_path, 1.0)
    with pytest.raises(UsageError, match="logit_gap"):
        search(rows, policy="window", confidence="logit_gap")


WRONG = {
    "low": [[0.8], [0.75], ["x"], [True], [1e39], 0.5, [0.1, 0.2]],
    "high": [[0.2], [0.25], [], [None, None]],
    "positive": [-1, 0.5, True, "yes"],
    "low_log_odds": [[None, None], ["x"]],
    "high_log_odds": [[1e400]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_policies_that_make_no_sense_are_refused(name, value):
    good = {"low": [0.25], "high": [0.75], "positive": 1}
    committee_of(good)
    with pytest.raises(CommitteeError):
        committee_of({**good, name: value})


def test_a_window_goes_with_a_probability():
    with pytest.raises(CommitteeError, match="max_prob"):
        Committee((("a",), ("b",)), Window((0.2,), (0.7,), 1), "prob_gap")
    with pytest.raises(CommitteeError, match="positive class"):
        Committee((("a",), ("b",)), Window((0.2,), (0.7,)), "max_prob")
    with pytest.raises(CommitteeError, match="2 windows"):
        Committee((("a",), ("b",)), Window((0.2, 0.3), (0.7, 0.8)), "confidence", "last")
