"""Frontiers read back from their files: as fast readers read them is as each committee is read alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pools import MemoryStore, TwoSplits, random_pool

from wisecommittee import Frontier
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import StoreError, UsageError, WiseCommitteeError
from wisecommittee.reading import parse_json
from wisecommittee.searches.choosing import choose_from
from wisecommittee.searches.frontier_file import _Committees
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search, solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.workers.execution import Execution


def member(macs: int = 5, **changes):
    return {"kind": "logits", "blocks": {"x": macs}, "weights": "w", **changes}


def text_of(stages, thresholds, names=None, log_odds=(), **changes) -> str:
    committee = Committee(
        tuple(map(tuple, stages)),
        Thresholds(tuple(thresholds), log_odds),
        chosen_on="val",
        members={name: member() for name in names or [model for stage in stages for model in stage]},
        **changes,
    )
    return json.dumps(committee.to_json())


def alone(text: str):
    try:
        return Committee.from_json(parse_json(text))
    except (WiseCommitteeError, ValueError, TypeError, AttributeError, KeyError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("axis", ["average", "p90", "p99.9"])
def test_a_frontier_keeps_how_its_costs_are_distributed(tmp_path, axis):
    models, labels = random_pool(units=60, models=3)
    rng = np.random.default_rng(0)
    models = [replace(m, unit_costs=rng.integers(1, 9 + 9 * k, 60).tolist()) for k, m in enumerate(models)]
    store = MemoryStore(models, labels, cost="usd")
    found = search(store, cost="usd", levels=8, axis=axis, limit=("P(usd > 12) <= 0.9",))
    found.save(tmp_path / "frontier.parquet")
    read = Frontier.load(tmp_path / "frontier.parquet")
    assert read.evaluations == found.evaluations
    assert read.singles == found.singles
    assert [read.x(e) for e in read] == [found.x(e) for e in found]
    assert {"p50", "p90", "p99"} <= read.best().figures()["percentiles"]["usd"].keys()
    assert 0 <= read.best().figures()["exceeding"]["P(usd > 12)"] <= 0.9


PAIR = text_of([["a"], ["b"]], [0.5])
TEXTS = {
    "a pair": PAIR,
    "other thresholds": text_of([["a"], ["b"]], [0.75]),
    "its log-odds": text_of([["a"], ["b"]], [1.0], log_odds=(30.0,)),
    "the other way round": text_of([["b"], ["a"]], [0.5]),
    "together": text_of([["a", "b"]], []),
    "with another member on record": text_of([["a"], ["b"]], [0.5], names=["a", "b", "c"]),
    "one of the members": text_of([["a"]], [], names=["a", "b"]),
    "without members": json.dumps(Committee((("a",), ("b",)), Thresholds((0.5,))).to_json()),
    "a name that reads as the field": text_of([['x, "members": {'], ["b"]], [0.5]),
    "the fingerprint of others": PAIR.replace('["b"]', '["c"]'),
    "a fingerprint by hand": PAIR.replace('"fingerprint": "', '"fingerprint": "0'),
    "members twice": PAIR.replace('"version"', '"members": {}, "version"'),
    "a fingerprint before": PAIR.replace('"version"', '"fingerprint": "0", "version"'),
    "members in a field": '{"version": 1, "stages": [["a"]], "cost": {"a": 1, "members": {"a": {}}}}',
    "members first": '{"members": {}, "version": 1, "stages": [["a"]]}',
    "a member without end": PAIR[:-1],
    "one brace more": PAIR + "}",
    "another field behind": PAIR[:-1] + ', "members_of": 3}',
    "confidence behind": PAIR.replace('"confidence": "max_prob", ', "")[:-1] + ', "confidence": "prob_gap"}',
    "a threshold of text": PAIR.replace("[0.5]", '["0.5"]'),
    "an infinite threshold": PAIR.replace("[0.5]", "[1e999]"),
    "two thresholds": PAIR.replace("[0.5]", "[0.5, 0.5]"),
    "a cost below zero": PAIR.replace('{"x": 5}', '{"x": -5}'),
    "no object": "[1, 2]",
    "nothing": "",
}


@pytest.mark.parametrize("order", [1, -1])
def test_every_committee_of_a_file_is_read_as_by_itself(order):
    reader = _Committees()
    for _ in range(2):  # at the second time the members are known
        for what, text in list(TEXTS.items())[::order]:
            try:
                found = reader.parse(text)
            except (WiseCommitteeError, ValueError, TypeError, AttributeError, KeyError) as error:
                found = type(error), str(error)
            assert found == alone(text), what


def test_committees_of_the_same_members_share_them(tmp_path):
    models, labels = random_pool()
    frontier = search(MemoryStore(models, labels), levels=10)
    frontier.save(tmp_path / "f.parquet")
    again = Frontier.load(tmp_path / "f.parquet")
    assert again == frontier
    members = {id(e.committee.members) for e in again}
    distinct = {frozenset(e.committee.models) for e in again}
    assert len(members) == len(distinct) < len(again)


def with_expected(units=120, **options):
    models, labels = random_pool(units=units)
    store = TwoSplits(MemoryStore(models, labels), MemoryStore(*random_pool(units=30, seed=1), split="test"))
    solution = solution_of(store, Query(levels=6, max_models=2, **options), Execution(threads=1))
    return choose_from(solution, None, Selection(folds=4, repeats=2))


def test_expected_figures_are_written_and_read_back(tmp_path):
    choice = with_expected()
    frontier = choice.frontier
    assert frontier.expected == choice.evidence.along
    assert len(frontier.expected) == len(frontier)
    frontier.save(tmp_path / "f.parquet")
    assert Frontier.load(tmp_path / "f.parquet") == frontier
    table = frontier.to_frame()
    rows = table[table["kind"] == "frontier"]
    for expected, row in zip(frontier.expected, rows.to_dict("records"), strict=True):
        low, high = expected.interval
        assert (row["expected_quality"], row["expected_low"], row["expected_high"]) == (expected.quality, low, high)
        assert (row["folds"], row["repeats"], row["n"]) == (4, 2, 120)
    assert table[table["kind"] == "single"]["expected_quality"].isna().all()


def test_a_file_without_expected_figures_is_read(tmp_path):
    plain = replace(with_expected().frontier, expected=())
    assert not [name for name in plain.to_frame().columns if "expected" in name or name in ("folds", "optimism")]
    plain.save(tmp_path / "f.parquet")
    assert Frontier.load(tmp_path / "f.parquet") == plain


def test_a_cost_of_99_percent_without_bounds_is_read(tmp_path):
    frontier = with_expected().frontier
    bare = replace(frontier, expected=tuple(replace(e, p99_interval=None) for e in frontier.expected))
    bare.save(tmp_path / "f.parquet")
    assert Frontier.load(tmp_path / "f.parquet") == bare


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("expected_quality", 1.5),
        ("expected_quality", None),
        ("expected_low", 0.999),
        ("expected_high", float("nan")),
        ("expected_average_cost", -1.0),
        ("expected_average_cost_high", float("inf")),
        ("expected_p99_cost_low", 1e9),
        ("optimism", 0.5),
        ("optimism", "0.1"),
        ("folds", 1.0),
        ("folds", 2.5),
        ("repeats", 0.0),
    ],
)
def test_expected_figures_that_cannot_be_are_refused(column, value, tmp_path, monkeypatch):
    frontier = with_expected().frontier
    whole = Frontier.to_frame

    def damaged(self):
        table = whole(self)
        table[column] = table[column].astype(object)
        table.at[0, column] = value
        return table if not isinstance(value, str) else table.astype({column: str})

    monkeypatch.setattr(Frontier, "to_frame", damaged)
    frontier.save(tmp_path / "f.parquet")
    with pytest.raises(StoreError, match="is not a frontier written by"):
        Frontier.load(tmp_path / "f.parquet")


def test_expected_figures_stand_for_every_committee_or_for_none():
    frontier = with_expected().frontier
    with pytest.raises(UsageError, match="expected one for each committee, or none"):
        replace(frontier, expected=frontier.expected[1:])
