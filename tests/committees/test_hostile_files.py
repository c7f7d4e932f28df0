"""Small files that ask for much: each is refused or read in time and memory that grow with its size alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wisecommittee import Committee
from wisecommittee.committees import walk as walking
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.router import MOST_PARTS
from wisecommittee.committees.policy import EXIT, MOST_STAGES, State, following
from wisecommittee.committees.posterior import STOPPING, TERMS
from wisecommittee.errors import CommitteeError
from wisecommittee.reading import parse_json


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{" + ",".join(f'"a{i}":1' for i in range(200_000)) + ',"a199999":2}', "'a199999' stands twice"),
        ('{"' + '\\"' * 1_000_000, "Unterminated string"),
        ('{"' + '\\"' * 1_000_000 + "\\", "Unterminated string"),
        ("[" * 1_000_000, "nested more than 24 deep"),
        ('"' + "[" * 1_000_000 + '\\"', "Unterminated string"),
    ],
)
def test_json_is_refused_in_one_pass(text, says):
    """At 2 MB, a pass for each quote or name would take hours."""
    with pytest.raises(ValueError, match=says):
        parse_json(text)


def test_brackets_in_strings_are_no_depth():
    deep = "[" * 100 + '\\"' + "{" * 100
    assert parse_json(f'["{deep}", "\\\\", [1]]') == [deep.replace('\\"', '"'), "\\", [1]]


def stages(count):
    return [[str(number)] for number in range(count)]


def test_stages_are_bounded():
    most = {"version": 1, "stages": stages(MOST_STAGES), "thresholds": [0.5] * (MOST_STAGES - 1)}
    assert len(Committee.from_json(most).stages) == MOST_STAGES
    more = {**most, "stages": stages(MOST_STAGES + 1), "thresholds": [0.5] * MOST_STAGES}
    with pytest.raises(CommitteeError, match="1,025 stages; expected at most 1,024"):
        Committee.from_json(more)


def test_parts_of_a_router_are_bounded():
    policy = {"kind": "router", "columns": [], "parts": [{"stages": [0], "weights": []}] * (MOST_PARTS + 1)}
    with pytest.raises(CommitteeError, match="1,025 parts; expected at most 1,024"):
        Committee.from_json({"version": 1, "stages": [["a"]], "policy": policy})
    policy["parts"] = [{"stages": list(range(2000)), "weights": [], "thresholds": [None] * 1999}]
    with pytest.raises(CommitteeError, match="expected whole numbers from 0"):
        Committee.from_json({"version": 1, "stages": stages(2000), "policy": policy})


def test_following_is_what_loops_say():
    rng = np.random.default_rng(0)
    for unordered in (False, True):
        routes = {tuple(sorted(rng.permutation(6)[: rng.integers(1, 6)].tolist())) for _ in range(30)}
        expected: dict = {}
        for route in routes:
            for stage in route if unordered else route[-1:]:
                before = tuple(k for k in route if k != stage)
                if not before or before in routes:
                    expected.setdefault(before, set()).add(stage)
        assert following(sorted(routes), unordered=unordered) == expected


class Table:
    """n units of which nothing but the policy's numbers matters: a batch of a walk."""

    def __init__(self, committee, units):
        self.committee, self.units = committee, units

    def __len__(self):
        return len(self.units)

    def only(self, rows):
        return Table(self.committee, self.units[rows])

    def run(self, route, stage):
        ran = [model for k in route for model in self.committee.stages[k]]
        score = np.float32(0.5) + self.units.astype(np.float32) / 1000
        return State(
            route,
            len(self.committee.stages),
            np.tile(score, (len(route), 1)),
            scale_of("max_prob"),
            self.units % 3,
            dict.fromkeys(ran, self.units % 3),
            dict.fromkeys(ran, score),
            features={"length": self.units.astype(np.float64)},
        )


def policies():
    source = {"knots": [-1.0, 0.0, 1.0], "labels": [0, 1]}
    width = 7
    yield {"kind": "deferral", "sizes": [1, 2], "members": [source] * 2, "thresholds": [-0.3],
           "gains": [[0.1, *np.linspace(0, 1, width).tolist()]], "answering": {
               "kind": "posterior", "classes": [0, 1, 2], "coefficients": [
                   np.random.default_rng(k).normal(size=(1 + columns, 3)).tolist()
                   for k, columns in enumerate((width, 2 * width + 3))]}}  # fmt: skip
    column = {"name": "length", "center": 50.0, "scale": 10.0, "low": -9.0, "high": 9.0, "knots": []}
    parts = [{"stages": [0, 1], "thresholds": [0.55], "weights": [1.0]}, {"stages": [1], "weights": [0.2]}]
    yield {"kind": "router", "columns": [column], "parts": parts}
    values = {"bias": [0.0, 0.1, 0.2], "stopping": [0.0] * STOPPING}
    yield {"kind": "adaptive", "labels": [0, 1, 2], "others": [], "ranks": [{"score": [0.0, 1.0], "rank": [0, 1]}] * 2,
           "states": [{"stages": [0, 1][:n], "votes": [[0.3] * TERMS] * n, **values} for n in (1, 2)]}  # fmt: skip


@pytest.mark.parametrize("policy", list(policies()), ids=lambda policy: policy["kind"])
def test_units_are_decided_in_blocks_as_all_at_once(policy, monkeypatch):
    """As many classes, knots or parts as fit into a file would else be as many numbers for every unit of a split."""
    committee = Committee.from_json(json.loads(json.dumps({"version": 1, "stages": stages(2), "policy": policy})))
    assert committee.policy.numbers_per_unit > 0

    def decided():
        out = np.full((100, 2), -9)
        for route, batch, rows, answer, _ in walking.walk(committee, Table(committee, np.arange(100))):
            out[batch.units[rows], 0] = len(route) * 10 + route[-1]
            out[batch.units[rows], 1] = EXIT if answer is None else answer
        return out

    whole, asked = decided(), []
    next_of = type(committee.policy).next
    monkeypatch.setattr(walking, "MOST_NUMBERS", 7 * committee.policy.numbers_per_unit)
    monkeypatch.setattr(
        type(committee.policy), "next", lambda self, state: asked.append(len(state)) or next_of(self, state)
    )
    assert np.array_equal(decided(), whole)
    assert max(asked) == 7
