"""Frontiers read back from their files: as fast readers read them is as each committee is read alone."""

from __future__ import annotations

import json

import pytest
from pools import MemoryStore, random_pool

from wisecommittee import Frontier
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import Thresholds
from wisecommittee.errors import WiseCommitteeError
from wisecommittee.reading import parse_json
from wisecommittee.searches.frontier_file import _Committees
from wisecommittee.searches.search import search


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
