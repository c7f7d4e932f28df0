"""Kinds of policies on one frontier and beside each other, by outcomes of units that had no part in the choice."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import wisecommittee as wc
from wisecommittee import LogitStore, ModelCard, Target
from wisecommittee.committees.policies import POLICIES
from wisecommittee.committees.policy import EXIT, Policy
from wisecommittee.errors import UsageError
from wisecommittee.searches.policies import POLICY_STRATEGIES
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.among_policies import simplest_of_best
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.strategies.problem import Findings, Strategy

N, CLASSES = 300, 4
COSTS = {"a": 10, "b": 30, "c": 90}


@dataclass(frozen=True, slots=True)
class ByUnit(Policy):
    """Runs the first member alone and answers by the unit: by what its id says, or from a memory of units."""

    known: tuple[tuple[str, int], ...] = ()
    reads: bool = False
    kind: ClassVar[str] = "by_unit"
    needs: ClassVar[frozenset[str]] = frozenset({"unit_ids", "members"})
    answers: ClassVar[bool] = True

    def next(self, state):
        return np.full(len(state), EXIT)

    def answer(self, state):
        memory, (first, *_) = dict(self.known), state.members.values()
        if self.reads:
            return np.array([int(unit.split("is")[1]) for unit in state.unit_ids.tolist()])
        return np.array([memory.get(unit, said) for unit, said in zip(state.unit_ids.tolist(), first, strict=True)])


def remembers(problem):
    """Perfect on the units of the problem, no better than the first model on any other."""
    ids, labels = problem.pool.unit_ids().tolist(), problem.pool.labels.tolist()
    policy = ByUnit(known=tuple(zip(ids, labels, strict=True)))
    searched = {"combinations": 1, "threshold_vectors": 0, "complete": True}
    return Findings((), None, searched, committees=[committee_of(problem.pool, [[0], [1]], policy)])


def reads(problem):
    searched = {"combinations": 1, "threshold_vectors": 0, "complete": True}
    policy = ByUnit(reads=True)
    return Findings((), None, searched, committees=[committee_of(problem.pool, [[0], [1]], policy)])


def refuses(problem):
    raise UsageError("no crystal ball in this store")


@pytest.fixture(autouse=True)
def _own(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(POLICIES, ByUnit.kind, ByUnit)
    for kind in list(POLICY_STRATEGIES):
        monkeypatch.delitem(POLICY_STRATEGIES, kind)


@pytest.fixture
def offered(monkeypatch):
    def offer(*kinds):
        every = {"memory": (lambda problem: None, remembers), "reading": (lambda problem: None, reads)}
        every["crystal"] = (refuses, reads)
        for kind in kinds:
            monkeypatch.setitem(POLICY_STRATEGIES, kind, Strategy(kind, *every[kind]))

    return offer


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, N)
    store = LogitStore(tmp_path / "logits")
    for sharp, (name, cost) in enumerate(COSTS.items(), start=1):
        logits = (rng.normal(size=(N, CLASSES)) + 0.7 * sharp * np.eye(CLASSES)[labels]).astype(np.float32)
        ids = [f"{i}is{label}" for i, label in enumerate(labels.tolist())]
        store.add(ModelCard(name, blocks={name: cost}), "val", outputs=logits, labels=labels, unit_ids=ids)
    return store


def choice_of(store, target=None, **options):
    query = Query(policy="auto", levels=10, max_models=2)
    return wc.search_and_choose(store, query, target, selection=Selection(folds=4, **options))


def test_the_simplest_within_one_standard_error_is_taken():
    rng = np.random.default_rng(0)
    for _ in range(200):
        gains = rng.random((4, 30)) + rng.random(4)[:, None] * 0.3
        best = int(np.argmax(gains.mean(axis=1)))
        expected = None
        for number in range(4):
            apart = [float(b - a) for a, b in zip(gains[number], gains[best], strict=True)]
            mean = sum(apart) / len(apart)
            spread = math.sqrt(sum((value - mean) ** 2 for value in apart) / len(apart))
            if expected is None and mean <= spread / math.sqrt(len(apart)):
                expected = number
        assert simplest_of_best(list(gains)) == expected
        some = np.arange(0, 30, 2)
        assert simplest_of_best(list(gains), some) == simplest_of_best(list(gains[:, some]))


def test_a_clearly_better_one_wins_over_a_simpler_one():
    worse, better = np.zeros(100), np.r_[np.ones(30), np.zeros(70)]
    assert simplest_of_best([worse, better]) == 1
    assert simplest_of_best([better, worse]) == 0
    assert simplest_of_best([worse, worse]) == 0


@dataclass(frozen=True, slots=True)
class Spared(Policy):
    """Units that it knows exit after the first member; all others run both."""

    known: tuple[str, ...] = ()
    kind: ClassVar[str] = "spared"
    needs: ClassVar[frozenset[str]] = frozenset({"unit_ids"})

    def next(self, state):
        return state.exit_where(np.isin(state.unit_ids, self.known))


def spares(problem):
    searched = {"combinations": 1, "threshold_vectors": 0, "complete": True}
    policy = Spared(tuple(problem.pool.unit_ids().tolist()))
    return Findings((), None, searched, committees=[committee_of(problem.pool, [[0], [1]], policy)])


def test_a_policy_that_is_cheap_on_the_choosing_units_is_expected_to_cost_what_it_costs_on_others(store, monkeypatch):
    monkeypatch.setitem(POLICIES, Spared.kind, Spared)
    monkeypatch.setitem(POLICY_STRATEGIES, Spared.kind, Strategy(Spared.kind, lambda problem: None, spares))
    query, selection = Query(policy=Spared.kind, max_models=2), Selection(folds=4, repeats=2, reference="c")
    choice = wc.search_and_choose(store, query, Target("target_flops", 15.0), selection=selection)
    assert choice.val.average_cost == COSTS["a"]  # every unit that chose is known
    expected, comparison = choice.evidence.expected, choice.evidence.comparison
    assert expected.average_cost == COSTS["a"] + COSTS["b"]  # none of a fold is known to the search without it
    assert 39 < expected.cost_interval[0] < 40 == expected.cost_interval[1]
    assert comparison.speedup.ratio == pytest.approx(COSTS["c"] / 40)


TARGETS = [None, Target("target_flops", 35.0), Target("target_accuracy", 0.4)]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target and target.kind))
def test_what_only_remembers_the_choosing_units_is_not_chosen(store, offered, target):
    """It is perfect on val, at the least cost."""
    offered("memory", "crystal")
    choice = choice_of(store, target)
    assert choice.val.committee.policy.kind == "thresholds"
    searched = choice.frontier.searched
    assert (searched["policy"], searched["policies"]) == ("thresholds", ["thresholds", "memory"])
    assert searched["refused"] == {"crystal": "no crystal ball in this store"}
    alone = wc.search_and_choose(
        store, Query(levels=10, max_models=2), target, selection=Selection(folds=4, reference="c")
    )
    again = choice_of(store, target, reference="c")
    assert again.val == alone.val
    assert again.evidence.expected == alone.evidence.expected
    assert wc.search(store, policy="auto", levels=10).best().quality == 1.0  # where nobody asks for new units


@pytest.mark.parametrize("target", [*TARGETS[:2], Target("target_accuracy", 0.95)])
def test_what_is_better_on_new_units_is_chosen(store, offered, target):
    offered("memory", "reading")
    choice = choice_of(store, target)
    assert choice.val.committee.policy == ByUnit(reads=True)
    assert choice.evidence.expected.quality == 1.0
    assert choice.val.average_cost == COSTS["a"]
    assert choice.frontier.searched["policy"] == "reading"
    if target is None:  # everything else costs more and is worse
        assert [e.committee.policy.kind for e in choice.frontier] == ["by_unit"]
        assert len(choice.frontier.expected) == 1
    assert json.loads(json.dumps(choice.to_json()))["committee"]["thresholds"] is None


def test_policies_are_compared_by_units_that_had_no_part_in_the_choice(store, offered):
    offered("memory", "reading", "crystal")
    query = Query(levels=10, max_models=2)
    compared = wc.compare_policies(store, query, budgets=(12.0, 40.0), folds=4)
    figures = {(each.kind, each.budget): each for each in compared.figures}
    assert list(figures) == [(k, b) for b in (12.0, 40.0) for k in ("thresholds", "memory", "reading")]
    assert compared.left_out == {"crystal": "no crystal ball in this store"}
    first = next(e for e in wc.search(store, levels=10).singles if e.committee.models == ("a",))
    for budget in (12.0, 40.0):
        base = figures["thresholds", budget].expected.quality
        assert figures["thresholds", budget].gain is None
        memory, reading = figures["memory", budget], figures["reading", budget]
        assert memory.expected.quality == pytest.approx(first.quality)  # of the first model by itself
        assert reading.expected.quality == 1.0
        for each in (memory, reading):
            assert each.gain.mean == pytest.approx(each.expected.quality - base)
            low, high = each.gain.interval
            assert low < each.gain.mean < high
        assert reading.gain.interval[0] > 0
    assert compared.to_json()["budgets"] == [12.0, 40.0]
    with pytest.raises(UsageError, match="leave axis='worst' out"):
        wc.compare_policies(store, Query(axis="worst"))
    with pytest.raises(UsageError, match="expected at least 2"):
        wc.compare_policies(store, folds=1)
