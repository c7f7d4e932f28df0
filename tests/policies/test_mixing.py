"""Mixtures: each unit runs one of two committees, and figures lie between theirs as the draw says."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Target, Thresholds
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.hull import hull, mixed
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.units import evaluate_units

N, CLASSES = 400, 5
COSTS = {"a": 10, "b": 30, "c": 90}
FIRST = Committee((("a",), ("b",)), Thresholds((0.6,)))
SECOND = Committee((("a",), ("b", "c")), Thresholds((0.7,)))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def outputs():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, N)
    sharp = {"a": 1.0, "b": 1.6, "c": 2.4}
    rows = {
        m: (rng.normal(size=(N, CLASSES)) + s * np.eye(CLASSES)[labels]).astype(np.float32) for m, s in sharp.items()
    }
    return rows, labels


@pytest.fixture
def store(tmp_path, outputs):
    rows, labels = outputs
    store = LogitStore(tmp_path / "logits")
    for name, logits in rows.items():
        card = ModelCard(name, blocks={name: COSTS[name]}, costs={"usd": COSTS[name] / 7})
        store.add(card, "val", outputs=logits, labels=labels)
    return store


def second_drawn(share, seed):
    """Whether a unit runs the second part: the first 64 bits of sha256 of 'seed NUL id', as a share of 2^64."""
    drawn = []
    for i in range(N):
        digest = hashlib.sha256(f"{seed}\0{i}".encode()).hexdigest()
        drawn.append(int(digest[:16], 16) / 2**64 < share)
    return np.array(drawn)


@pytest.mark.parametrize(("share", "seed"), [(0.35, 0), (0.35, 1), (0.0, 0), (1.0, 3)])
def test_every_unit_gets_what_its_part_gives(store, outputs, share, seed):
    committee = mixture(FIRST, SECOND, share, seed)
    drawn = second_drawn(share, seed)
    parts = [evaluate_units(part, store, "val") for part in (FIRST, SECOND)]
    units = evaluate_units(committee, store, "val")
    for column in ("prediction", "cost", "correct", "confidence"):
        assert units[column].tolist() == np.where(drawn, parts[1][column], parts[0][column]).tolist()
    e = evaluate(committee, store, "val")
    assert e.correct == units["correct"].sum()
    assert e.average_cost == pytest.approx(units["cost"].mean(), rel=1e-12)
    assert e.further["usd"].average == pytest.approx(e.average_cost / 7)
    assert e.worst_case_cost == sum(COSTS.values())
    last = [{10: 0, 40: 1, 130: 2}[cost] for cost in units["cost"].tolist()]
    assert e.exit_ratios == tuple(last.count(k) / N for k in range(3))

    members = {name: lambda x, name=name: outputs[0][name][np.asarray(x)[:, 0].astype(int)] for name in outputs[0]}
    with wc.deploy(committee, members, device="cpu") as run:
        decided = run(torch.arange(N, dtype=torch.float32)[:, None], [str(i) for i in range(N)])
    assert decided.prediction.tolist() == units["prediction"].tolist()
    assert (decided.ran @ [10, 30, 90]).tolist() == units["cost"].tolist()


def test_the_file_of_a_mixture_says_all(store, tmp_path):
    committee = mixture(FIRST, SECOND, 0.25, 7)
    committee.save(tmp_path / "committee.json")
    data = json.loads((tmp_path / "committee.json").read_text())
    assert data["thresholds"] is None
    assert data["policy"]["kind"] == "mixing"
    assert [part["stages"] for part in data["policy"]["parts"]] == [[["a"], ["b"]], [["a"], ["b", "c"]]]
    assert (data["policy"]["share"], data["policy"]["seed"]) == (0.25, 7)
    assert Committee.load(tmp_path / "committee.json") == committee
    assert committee.label() == "a | b, or on 25.0 % of the units a | b + c"
    for damage, message in (
        ({"share": 1.5}, "from 0 to 1"),
        ({"seed": "x"}, "whole number"),
        ({"parts": [data["policy"]["parts"][0]]}, "list of two committees"),
        ({"parts": [data, data["policy"]["parts"][0]]}, "mixes itself"),
    ):
        with pytest.raises(CommitteeError, match=message):
            Committee.from_json({**data, "policy": {**data["policy"], **damage}})
    with pytest.raises(CommitteeError, match="each member of its parts as a stage"):
        Committee.from_json({**data, "stages": [["a"], ["b"]]})


def test_a_mixture_meets_the_budget_in_expectation_between_neighbours_of_the_hull(store):
    frontier = wc.search(store, levels=20, max_models=2, threads=1)
    points = [(e.average_cost, e.quality) for e in frontier]
    on_hull = [(e.average_cost, e.quality) for e in hull(frontier.evaluations)]
    for x, y in points:  # no point lies above the hull, by interpolation
        assert y <= np.interp(x, *zip(*on_hull, strict=True)) + 1e-12
    slopes = np.diff([y for _, y in on_hull]) / np.diff([x for x, _ in on_hull])
    assert (np.diff(slopes) < 0).all()
    limit = 0.5 * (on_hull[0][0] + on_hull[1][0])
    committee = mixed(frontier.evaluations, limit)
    assert committee.policy.share == pytest.approx(0.5)
    assert [part.stages for part in committee.parts] == [e.committee.stages for e in hull(frontier.evaluations)[:2]]
    assert frontier.within(average_flops=limit, mix=True).committee == committee
    assert mixed(frontier.evaluations, on_hull[-1][0] + 1) == frontier.best().committee


def test_a_search_mixes_if_asked_and_its_figures_are_of_mixtures(store):
    query, target = Query(levels=10, max_models=2), Target("target_flops", 35.0)
    choice = wc.search_and_choose(store, query, target, selection=Selection(mix=True, folds=4, choose="best"))
    assert choice.val.committee.policy.kind == "mixing"
    expected = choice.evidence.expected
    low, high = expected.cost_interval
    assert low <= 35 <= high
    assert choice.to_json()["query"]["mix"] is True
    assert evaluate(choice.val.committee, store, "val") == choice.val
    for wrong in (None, Target("target_accuracy", 0.6), Target("match", "b")):
        with pytest.raises(UsageError, match="meets an average budget"):
            wc.search_and_choose(store, query, wrong, selection=Selection(mix=True))


def test_mixtures_without_a_budget_are_refused_before_the_search(store, monkeypatch):
    def searched(*_):
        raise AssertionError("the search has started")

    monkeypatch.setattr("wisecommittee.searches.choosing.solution_of", searched)
    with pytest.raises(UsageError, match="meets an average budget"):
        wc.search_and_choose(store, Query(), None, selection=Selection(mix=True))
