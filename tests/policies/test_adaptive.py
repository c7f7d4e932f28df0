"""Adaptive policies: evaluated, deployed and replayed as their file says, unit by unit."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from support import adaptive as naive

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.policies.arrays import member_arrays
from wisecommittee.searches.units import evaluate_units

N = 600
COSTS = {"a": 1.0, "b": 4.0, "c": 9.0}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


def answers(rng, labels, *, confidence=True, extra=()):
    """A table of three models' answers; surer where they are right. extra : answers that are never right."""
    tables = []
    for model, accuracy in (("a", 0.55), ("b", 0.7), ("c", 0.85)):
        right = rng.random(len(labels)) < accuracy
        wrong = rng.choice([*labels, *extra], len(labels))
        if model == "a":  # it takes each label for the next
            names = np.unique(labels)
            wrong = np.where(rng.random(len(labels)) < 0.9, np.roll(names, 1)[np.searchsorted(names, labels)], wrong)
        said = np.where(right, labels, wrong)
        table = {"unit_id": np.arange(len(labels)).astype(str), "model": model, "answer": said, "usd": COSTS[model]}
        if confidence:  # ties, and a scale of each model's own
            table["confidence"] = np.round(rng.normal(np.where(right, 1.0, 0.0)), 1) * COSTS[model]
        tables.append(pd.DataFrame(table))
    return pd.concat(tables)


def answer_store(folder, *, classes, confidence=True, unknown=()):
    rng = np.random.default_rng(3)
    store = LogitStore(folder / "logits")
    for split in ("val", "test"):
        names = [f"label {k}" for k in range(classes)] + list(unknown if split == "test" else ())
        labels = rng.choice(names, N)
        table = answers(rng, labels, confidence=confidence, extra=("nothing",))
        table.to_csv(folder / f"{split}.csv", index=False)
        pd.DataFrame({"unit_id": np.arange(N).astype(str), "label": labels}).to_csv(folder / "labels.csv", index=False)
        wc.import_answers(store, split, folder / f"{split}.csv", labels=folder / "labels.csv")
    return store


def longest(frontier):
    return max((e.committee for e in frontier if e.committee.policy.kind == "adaptive"), key=lambda c: len(c.routes))


def by_hand(committee, store, split):
    """[(set of stages, answer)] of every unit, by loops over the committee's JSON."""
    policy = json.loads(json.dumps(committee.to_json()))["policy"]
    pool = members_pool([committee], store, split)
    arrays = member_arrays(pool)
    at = [pool.index(model) for model in committee.models]
    logs = [pool.log_probabilities(m).tolist() for m in at] if policy["states"][0].get("weights") else None
    said, scores = arrays.prediction[at].tolist(), arrays.score[at].astype(float).tolist()
    return [
        naive.run(policy, [s[i] for s in said], [s[i] for s in scores], logs and [rows[i] for rows in logs])
        for i in range(pool.units)
    ]


CASES = {
    "few labels": {"classes": 3},
    "labels that val lacks": {"classes": 4, "unknown": ("new", "newer")},
    "many labels": {"classes": 60, "unknown": ("new",)},
    "no confidence": {"classes": 3, "confidence": False},
}


@pytest.mark.parametrize("case", CASES)
def test_every_unit_of_answers_runs_and_is_answered_as_the_file_says(tmp_path, case):
    store = answer_store(tmp_path, **CASES[case])
    committee = longest(wc.search(store, policy="adaptive", threads=1))
    assert bool(committee.policy.labels) == (case != "many labels")
    assert ("member_scores" in committee.policy.needs) == (case != "no confidence")
    if case == "few labels":
        assert committee.policy.others == ("nothing",)
        assert any(state.get("corrections") for state in committee.policy.states)
    for split in ("val", "test"):
        expected = by_hand(committee, store, split)
        units = evaluate_units(committee, store, split)
        assert units["prediction"].tolist() == [answer for _, answer in expected]
        costs = [sum(COSTS[committee.models[k]] for k in route) for route, _ in expected]
        assert units["cost"].tolist() == pytest.approx(costs)
        assert len({route for route, _ in expected}) > 1
        e = evaluate(committee, store, split)
        right = sum(answer == label for (_, answer), label in zip(expected, units["label"], strict=True))
        assert (e.correct, e.average_cost) == (right, pytest.approx(np.mean(costs)))


@pytest.fixture
def outputs():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 5, N)
    sharp = {"a": 1.0, "b": 1.8, "c": 2.6}
    return {m: (rng.normal(size=(N, 5)) + s * np.eye(5)[labels]).astype(np.float32) for m, s in sharp.items()}, labels


def test_members_with_outputs_over_classes_are_deployed_as_they_are_evaluated(tmp_path, outputs):
    rows, labels = outputs
    store = LogitStore(tmp_path / "logits")
    for name, logits in rows.items():
        store.add(ModelCard(name, blocks={name: int(COSTS[name])}), "val", outputs=logits, labels=labels)
    frontier = wc.search(store, policy="adaptive", threads=1)
    committee = longest(frontier)
    assert committee.policy.needs == {"members", "member_scores", "outputs"}
    expected = by_hand(committee, store, "val")
    units = evaluate_units(committee, store, "val")
    assert units["prediction"].tolist() == [answer for _, answer in expected]
    costs = [sum(COSTS[committee.models[k]] for k in route) for route, _ in expected]
    assert units["cost"].tolist() == costs
    members = {name: lambda x, name=name: rows[name][np.asarray(x)[:, 0].astype(int)] for name in rows}
    members = {name: members[name] for name in committee.models}
    with wc.deploy(committee, members, device="cpu") as run:
        for batch in (np.arange(N), *np.arange(20)[:, None]):
            decided = run(torch.tensor(batch, dtype=torch.float32)[:, None])
            assert decided.prediction.tolist() == units["prediction"].to_numpy()[batch].tolist()
            assert (decided.ran @ [COSTS[m] for m in committee.models]).tolist() == [costs[i] for i in batch]


def test_the_file_says_all_and_is_small(tmp_path):
    store = answer_store(tmp_path, classes=4)
    committee = longest(wc.search(store, policy="adaptive", threads=1))
    committee.save(tmp_path / "committee.json")
    again = Committee.load(tmp_path / "committee.json")
    assert again == committee
    assert json.loads((tmp_path / "committee.json").read_text())["thresholds"] is None
    assert evaluate(again, store, "val") == evaluate(committee, store, "val")


def damaged(policy, change):
    copy = json.loads(json.dumps(policy))
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(labels=["x", 1]), "different texts"),
        (lambda p: p.update(labels=["x", "x"]), "different texts"),
        (lambda p: p.update(labels=[1.5]), "whole numbers"),
        (lambda p: p.update(by_answer=1), "true or false"),
        (lambda p: p.update(ranks=[]), "ranks of 0 stages"),
        (lambda p: p["ranks"][0].update(score=[3, 2]), "ranks"),
        (lambda p: p["ranks"][0].update(rank=[float("nan")] * len(p["ranks"][0]["rank"])), "numbers"),
        (lambda p: p.update(states=[]), "each set of stages once"),
        (lambda p: p["states"].append(p["states"][0]), "each set of stages once"),
        (lambda p: p["states"][0].update(stages=[0, 0]), "ascending"),
        (lambda p: p["states"][0].update(stages=[]), "whole numbers"),
        (lambda p: p["states"][0].update(bias=[0.0]), "bias"),
        (lambda p: p["states"][0]["votes"][0].__setitem__(0, "1"), "votes"),
        (lambda p: p["states"][0]["votes"][0].__setitem__(0, 1e300), "votes"),
        (lambda p: p["states"][0].update(more=1), "fields"),
        (lambda p: p["states"][0]["next"][0].update(stage=0), "next"),
        (lambda p: p["states"][0]["next"][0].update(stage=7), "no state"),
        (lambda p: p["states"][0]["next"][0].update(value=[1.0]), "value"),
        (lambda p: p["states"][0].pop("stopping"), "fields"),
    ],
)
def test_a_damaged_policy_is_refused(tmp_path, change, message):
    policy = {
        "kind": "adaptive",
        "labels": ["x", "y"],
        "others": [],
        "ranks": [{"score": [0.0, 1.0], "rank": [0.1, 0.9]}, {"score": [], "rank": []}],
        "states": [
            {
                "stages": [0],
                "bias": [0.0, 0.1],
                "votes": [[1.0] * 7],
                "stopping": [0.0] * 9,
                "next": [{"stage": 1, "value": [0.1] * 11}],
            },
            {"stages": [0, 1], "bias": [0.0, 0.1], "votes": [[1.0] * 7] * 2, "stopping": [0.0] * 9},
        ],
        "by_answer": False,
    }
    data = {"version": 1, "stages": [["a"], ["b"]], "thresholds": None, "policy": policy}
    assert Committee.from_json(data).routes == ((0,), (0, 1))
    with pytest.raises(CommitteeError, match=message):
        Committee.from_json({**data, "policy": damaged(policy, change)})
