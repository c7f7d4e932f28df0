"""Policies: one exit rule for everything that decides, and routes that skip stages."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import ClassVar

import naive
import numpy as np
import pytest
import torch

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Thresholds
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.families import family_named
from wisecommittee.committees.policies import POLICIES
from wisecommittee.committees.policy import EXIT, Policy
from wisecommittee.committees.threshold_vectors import carried_vectors, exit_counts, exit_stages
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.exits import exit_rows
from wisecommittee.searches.heuristic.greedy import Greedy
from wisecommittee.searches.heuristic.neighbours import Neighbours
from wisecommittee.searches.heuristic.space import SearchSpace
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.searches.units import evaluate_units

N, CLASSES = 120, 4
STAGES = (("a",), ("b",), ("c", "d"))
BLOCKS = {"a": {"trunk": 5, "a": 1}, "b": {"trunk": 5, "b": 3}, "c": {"c": 10}, "d": {"c": 10, "d": 4}}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def rows():
    """Logits in steps of 1/2, so that confidences tie, and of a few very sure units."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, N)
    outputs = {}
    for sharpness, name in enumerate("abcd", start=1):
        logits = rng.integers(-3, 4, (N, CLASSES)) / 2
        logits[np.arange(N), labels] += sharpness / 2
        logits[::5] *= 12
        if name == "b":
            logits[1::5] *= 12
        outputs[name] = logits.astype(np.float32)
    return outputs, labels


@pytest.fixture
def store(tmp_path, rows):
    outputs, labels = rows
    store = LogitStore(tmp_path / "logits")
    for name, logits in outputs.items():
        store.add(ModelCard(name, blocks=BLOCKS[name]), "val", outputs=logits, labels=labels)
    return store


def deployed(committee, outputs, unit_ids=None):
    """What the committee decides with functions that look the stored outputs up."""
    members = {name: lambda rows, name=name: outputs[name][np.asarray(rows)[:, 0].astype(int)] for name in outputs}
    used = {name: members[name] for name in committee.models}
    with wc.deploy(committee, used, device="cpu") as run:
        return run(torch.arange(N, dtype=torch.float32)[:, None], unit_ids)


def on_ties(score, scale):
    """Thresholds that several units meet exactly; (thresholds with log-odds, the least scores that reach them)."""
    first = most_frequent(score[0])
    second = most_frequent(score[1][score[0] < first])
    return [(float(first), None), (float(second), None)], [first, second]


def most_frequent(values):
    distinct, counts = np.unique(values, return_counts=True)
    assert counts.max() > 1
    return distinct[counts.argmax()]


def on_log_odds(score, scale):
    """A threshold in the middle of all, and one between two sure units that float32 confidences cannot tell apart."""
    middle = np.sort(score[0])[N // 2]
    sure = np.unique(score[1][(score[0] < middle) & (score[1] > scale.edge)])
    between = [(scale.between(lower, upper), upper) for lower, upper in itertools.pairwise(sure)]
    pair, upper = next((pair, upper) for pair, upper in between if pair[1] is not None)
    return [scale.threshold(middle), pair], [middle, upper]


@pytest.mark.parametrize(("confidence", "choose"), [("logit_gap", on_ties), ("max_prob", on_log_odds)])
def test_everything_that_decides_has_one_exit_rule(store, rows, confidence, choose):
    """Evaluation, units, counts of many vectors and deployment exit where a loop over the scores does."""
    start = Committee(STAGES, Thresholds((0.5, 0.5)), confidence)
    (table,) = committee_tables(members_pool([start], store, "val"), [start])
    pairs, reached = choose(table.score, scale_of(confidence))
    committee = Committee(STAGES, Thresholds.of(pairs), confidence)
    expected = naive.exit_stages(table.score.tolist(), [float(value) for value in reached], N)
    assert set(expected) == {0, 1, 2}

    assert exit_rows(table, committee).tolist() == expected
    vectors = carried_vectors([committee.policy], confidence)
    assert next(exit_stages(table.score, vectors)).tolist() == expected
    counts = np.bincount(expected, minlength=3)
    assert exit_counts(table.score, vectors)[0].tolist() == counts.tolist()
    assert evaluate(committee, store, "val").exit_ratios == tuple(counts / N)
    assert (evaluate_units(committee, store, "val")["stage"] - 1).tolist() == expected
    again = Committee.from_json(json.loads(json.dumps(committee.to_json())))
    assert deployed(again, rows[0]).stage.tolist() == expected


def test_greedy_cascades_exit_by_the_same_rule(store):
    """Every cascade that greedy counts, whose thresholds are confidences of units, again by a loop."""
    pool = members_pool([Committee(STAGES, Thresholds((0.5, 0.5)))], store, "val")
    family = family_named("cascade")
    pool = pool.with_tiers(family.tiers(pool.cards, "canonical"))
    scope = SearchSpace(pool, Neighbours.over(family.chains(pool.cards, "canonical"), len(pool.cards)), 3)
    search = Greedy(scope)
    states = search.start()
    for size in (1, 2, 3):
        states = search.step(states, last=size == 3)
    longest = [counted for counted in search.counted if counted.values]
    assert len({counted.values for counted in longest}) > 5
    tables = {}
    for counted in longest:
        stages = tuple(tuple(pool.cards[m].model for m in pool.members((tier,))) for tier in counted.sequence)
        if stages not in tables:
            start = Committee(stages, Thresholds((0.0,) * (len(stages) - 1)))
            (tables[stages],) = committee_tables(pool, [start])
        table = tables[stages]
        exits = naive.exit_stages(table.score.tolist(), [float(np.float32(v)) for v in counted.values], N)
        assert counted.cost == sum(int(table.cost[k]) for k in exits)
        assert -counted.less_correct == sum(int(table.stats[k, i, 0]) for i, k in enumerate(exits))


# Other kinds


@dataclass(frozen=True, slots=True)
class Skipping(Policy):
    """Exit if the confidence is at least `above`; else units of an even predicted class skip to the last stage."""

    above: float
    names: tuple[str, ...] = ()
    kind: ClassVar[str] = "skipping"
    needs: ClassVar[frozenset[str]] = frozenset({"prediction"})

    def __post_init__(self):
        if not self.above > 0:
            raise CommitteeError(f"above {self.above!r}; expected a number above 0")

    def routes(self, stages):
        return [(0, 1, 2), (0, 2)]

    def next(self, state):
        on = np.where(state.prediction % 2 == 0, 2, state.stage + 1)
        return np.where(state.scores[-1] >= self.above, EXIT, on)


@dataclass(frozen=True, slots=True)
class Halves(Policy):
    """Units with odd ids run stage 1 alone; the others stage 0, and stage 2 where member a predicts class 0."""

    kind: ClassVar[str] = "halves"
    needs: ClassVar[frozenset[str]] = frozenset({"unit_ids", "members"})

    def routes(self, stages):
        return [(0, 2), (1,)]

    def next(self, state):
        if not state.route:
            return np.array([int(unit) % 2 for unit in state.unit_ids])
        assert list(state.members) == ["a"]
        assert state.route == (0,)
        return np.where(state.members["a"] == 0, 2, EXIT)


@pytest.fixture(autouse=True)
def _kinds(monkeypatch):
    for kind in (Skipping, Halves):
        monkeypatch.setitem(POLICIES, kind.kind, kind)


def by_hand(route_of, outputs):
    """(prediction, cost) of every unit: the sum of float32 logits of the members of its route, the union of blocks."""
    predictions, costs = [], []
    for i in range(N):
        names = [name for k in route_of(i) for name in STAGES[k]]
        total = outputs[sorted(names)[0]][i].copy()
        for name in sorted(names)[1:]:
            total += outputs[name][i]
        predictions.append(int(total.argmax()))
        costs.append(sum({block: cost for name in names for block, cost in BLOCKS[name].items()}.values()))
    return predictions, costs


def confidence_by_hand(names, outputs, i):
    mean = sum(outputs[name][i].astype(np.float64) for name in names) / len(names)
    return 1 / np.exp(mean - mean.max()).sum()


def test_units_may_skip_stages(store, rows):
    """Members of skipped stages neither run, nor answer, nor are charged."""
    outputs, _ = rows
    committee = Committee(STAGES, Skipping(0.6))

    def route_of(i):
        if confidence_by_hand(["a"], outputs, i) >= 0.6:
            return (0,)
        if outputs["a"][i].argmax() % 2 == 0:
            return (0, 2)
        if confidence_by_hand(["a", "b"], outputs, i) >= 0.6:
            return (0, 1)
        return (0, 1, 2)

    check(committee, route_of, store, rows, {(0,), (0, 1), (0, 1, 2), (0, 2)})


def test_the_first_stage_may_be_chosen(store, rows):
    outputs, _ = rows

    def route_of(i):
        if i % 2:
            return (1,)
        return (0, 2) if outputs["a"][i].argmax() == 0 else (0,)

    check(Committee(STAGES, Halves()), route_of, store, rows, {(0,), (0, 2), (1,)})
    with pytest.raises(UsageError, match="'halves' decides by unit ids; none for 120 units"):
        deployed(Committee(STAGES, Halves()), outputs)


def check(committee, route_of, store, rows, routes):
    """Evaluation, units and deployment are what a loop over units says."""
    outputs, labels = rows
    assert committee.routes == tuple(sorted(routes))
    assert not committee.nested
    taken = [route_of(i) for i in range(N)]
    assert set(taken) == routes
    predictions, costs = by_hand(route_of, outputs)
    again = Committee.from_json(json.loads(json.dumps(committee.to_json())))
    assert again == committee
    e = evaluate(again, store, "val")
    assert e.correct == sum(p == label for p, label in zip(predictions, labels.tolist(), strict=True))
    assert e.average_cost == sum(costs) / N
    assert e.p99_cost == sorted(costs)[int(np.ceil(0.99 * N)) - 1]
    names = {route: [name for k in route for name in STAGES[k]] for route in routes}
    unions = [sum({b: c for n in each for b, c in BLOCKS[n].items()}.values()) for each in names.values()]
    assert e.worst_case_cost == max(unions)
    assert e.exit_ratios == tuple(sum(r[-1] == k for r in taken) / N for k in range(3))
    units = evaluate_units(committee, store, "val")
    assert units["prediction"].tolist() == predictions
    assert units["cost"].tolist() == costs
    assert (units["stage"] - 1).tolist() == [route[-1] for route in taken]
    decided = deployed(committee, outputs, [str(i) for i in range(N)])
    assert decided.prediction.tolist() == predictions
    assert [tuple(np.flatnonzero(ran).tolist()) for ran in decided.ran] == taken


@dataclass(frozen=True, slots=True)
class Wrong(Policy):
    """Answers with what it is given, whatever the state."""

    answer: object = 0
    declared: tuple[tuple[int, ...], ...] = ((0, 1, 2),)
    kind: ClassVar[str] = "wrong"

    def routes(self, stages):
        return self.declared

    def next(self, state):
        return np.full(len(state), self.answer)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Wrong(0), r"'wrong' sends units from stages \[0\] to 0; its `routes` allow -1, 1"),
        (Wrong(2), r"'wrong' sends units from stages \[0\] to 2; its `routes` allow -1, 1"),
        (Wrong(EXIT, ((0,), (1,))), r"'wrong' sends units from stages \[\] to -1; its `routes` allow 0, 1"),
        (Wrong(0.5), "'wrong' answers with float64 .* for 120 units; expected one whole number for each"),
        (Wrong(1, ((0, 3),)), r"route \[0, 3\]; expected different stages from 0 to 2"),
        (Wrong(1, ((0, 0),)), r"route \[0, 0\]; expected different stages"),
    ],
)
def test_policies_that_decide_wrongly_are_named(store, policy, message):
    with pytest.raises(CommitteeError, match=message):
        evaluate(Committee(STAGES, policy), store, "val")


def test_what_no_state_holds_cannot_be_needed(store):
    class Routed(Wrong):
        needs = frozenset({"weather", "members"})

    with pytest.raises(CommitteeError, match="'wrong' needs weather, which nothing provides; known: features, last"):
        evaluate(Committee(STAGES, Routed(EXIT)), store, "val")


# JSON


def test_thresholds_stand_where_they_stood_and_other_kinds_in_policy():
    data = Committee(STAGES, Thresholds((0.5, 1.0), (None, 20.0))).to_json()
    assert (data["thresholds"], data["log_odds"]) == ([0.5, 1.0], [None, 20.0])
    assert "policy" not in data
    data = Committee(STAGES, Skipping(0.25, ("x", "y"))).to_json()
    assert data["policy"] == {"kind": "skipping", "above": 0.25, "names": ["x", "y"]}
    assert data["thresholds"] is None
    assert "log_odds" not in data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": {"kind": "oracle"}}, "policy of kind 'oracle'; known: .*halves, .*skipping, thresholds"),
        ({"policy": "skipping"}, "\"policy\" is 'skipping'; expected an object"),
        ({"policy": {}}, '"policy" is {}; expected an object with the text "kind"'),
        ({"policy": {"kind": ["skipping"]}}, 'expected an object with the text "kind"'),
        ({"policy": {"kind": "skipping"}}, "policy 'skipping': field 'above' is missing"),
        ({"policy": {"kind": "skipping", "above": 1, "sure": 2}}, "unknown field 'sure'; known: 'above', 'names'"),
        ({"policy": {"kind": "skipping", "above": "much"}}, "policy 'skipping': '>' not supported"),
        ({"policy": {"kind": "skipping", "above": -1}}, "above -1; expected a number above 0"),
        ({"policy": {"kind": "thresholds", "values": [0.1, 0.2]}}, '"policy" is for kinds without thresholds'),
        ({"policy": {"kind": "halves"}, "thresholds": [0.5, 0.5]}, '"policy" is for kinds without thresholds'),
        ({}, "0 thresholds for 3 stages; expected 2"),
    ],
)
def test_policies_in_json_that_are_not_as_they_must_be_are_refused(change, message):
    data = {"version": 1, "stages": [list(stage) for stage in STAGES]}
    assert Committee.from_json(data | {"policy": {"kind": "skipping", "above": 1}}).policy == Skipping(1)
    with pytest.raises(CommitteeError, match=message) as refused:
        Committee.from_json(data | change)
    assert "\n" not in str(refused.value)


def test_what_needs_thresholds_says_so():
    committee = Committee(STAGES, Halves())
    with pytest.raises(CommitteeError, match="exits by 'halves'; expected a committee with thresholds"):
        _ = committee.thresholds
    assert committee.conditions() == ["its policy, halves, says so"] * 2
