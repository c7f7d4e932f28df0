"""Thresholds moved to a stream: exit shares against the reference, thresholds against a search by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import naive
import numpy as np
import pytest
from streams import add_stream

from wisecommittee import Committee, Thresholds, evaluate, monitor, retune
from wisecommittee.committees.policy import Policy
from wisecommittee.committees.scale import STORED
from wisecommittee.errors import CommitteeError
from wisecommittee.operations.moving import moved_thresholds
from wisecommittee.searches.units import evaluate_units


def shares_of_those_who_reach(exits):
    return [exits[k] / sum(exits[k:]) for k in range(len(exits) - 1)]


def test_each_stage_keeps_its_share_of_those_who_reach_it(store, committee):
    add_stream(store, "live", 2000, sharpness=2.0)
    done = retune(committee, store)
    wanted = shares_of_those_who_reach(evaluate(committee, store, "test").exit_ratios)
    before, after = (evaluate(each, store, "live").exit_ratios for each in (committee, done.committee))
    assert shares_of_those_who_reach(after) == pytest.approx(wanted, abs=0.002)
    assert shares_of_those_who_reach(before) != pytest.approx(wanted, abs=0.05)
    assert done.before.exit_ratios() == before
    assert done.after.exit_ratios() == after
    assert done.committee.chosen_on == "live"
    assert done.committee.stages == committee.stages
    assert all(
        new > old for new, old in zip(done.committee.thresholds.values, committee.thresholds.values, strict=True)
    )


def test_a_stream_like_the_reference_keeps_the_exits(store, committee):
    done = retune(committee, store, "val", against="test")
    assert monitor(done.committee, store, "val", against="test").verdict == "steady"


def by_hand(scores, exits, old):
    """Stage by stage, the number of exits nearest to the share, and of two the lower; the threshold is the midpoint."""
    waiting, out = list(range(len(scores[0]))), []
    for k, before in enumerate(old):
        threshold = before
        if exits[k] and waiting:
            known = sorted({float(scores[k][i]) for i in range(len(scores[k]))})
            counts = {level: sum(float(scores[k][i]) >= level for i in waiting) for level in known}
            miss = {level: abs(count * sum(exits[k:]) - exits[k] * len(waiting)) for level, count in counts.items()}
            level = max(each for each in known if miss[each] == min(miss.values()))
            threshold, _ = naive.reported_threshold(scores[k].tolist(), level), None
        out.append(float(threshold))
        waiting = [i for i in waiting if not scores[k][i] >= np.float32(threshold)]
    return out


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_are_those_of_a_search_by_hand(seed):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, 8, (3, 30)) / 7).astype(np.float32)  # ties everywhere
    exits, old = rng.integers(0, 20, 3) + np.array([0, 0, 1]), [0.5, 0.25]
    found, kept = moved_thresholds(scores, exits, [(value, None) for value in old], STORED)
    assert [value for value, _ in found] == pytest.approx(by_hand(scores, exits.tolist(), old))
    assert set(kept) >= {k for k in (0, 1) if not exits[k]}


def test_a_stage_without_exits_or_units_keeps_its_threshold():
    scores = np.full((3, 10), 0.9, np.float32)
    found, kept = moved_thresholds(scores, np.array([0, 5, 5]), [(0.95, None), (0.5, None)], STORED)
    assert (found[0], kept) == ((0.95, None), (0,))
    _, kept = moved_thresholds(scores, np.array([10, 0, 0]), [(0.95, None), (0.5, None)], STORED)
    assert kept == (1,)  # all ten exit at the first


@dataclass(frozen=True, slots=True)
class Never(Policy):
    kind: ClassVar[str] = "never"

    def next(self, state):
        return np.full(len(state), state.stage + 1)


def test_only_thresholds_can_be_moved(store, committee):
    with pytest.raises(CommitteeError, match="has one stage and no threshold to move"):
        retune(Committee((("small",),), Thresholds()), store, "test", against="val")
    with pytest.raises(
        CommitteeError, match="exits by policy 'never', and retune moves thresholds only; search again with"
    ):
        retune(Committee(committee.stages, Never()), store, "test", against="val")


def test_the_command_saves_the_committee_and_says_what_was_not_measured(store, committee, run, monkeypatch):
    committee.save("c.json")
    add_stream(store, "live", 500, sharpness=2.0, labelled=False)
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("retune", "c.json", "--store", "S", "--save", "r.json")
    assert (code, err) == (0, "")
    assert "wrote r.json" in out
    assert "the average cost, not the accuracy" in " ".join(out.split())
    assert Committee.load("r.json") == retune(committee, store).committee
    code, out, err = run("retune", "c.json", "--store", "S", "--json")
    answer = json.loads(out)
    assert (code, err, answer["kept_stages"]) == (0, "", [])
    assert answer["committee"] == json.loads(Path("r.json").read_text())
    assert answer["thresholds"]["before"] == [0.8, 0.7]
    assert (answer["before"]["quality"], answer["after"]["quality"]) == (None, None)
    frame = evaluate_units(committee, store, "test")
    assert answer["reference"]["average_cost"] == pytest.approx(frame["cost"].mean())
    assert answer["reference"]["quality"] == frame["correct"].mean()
    code, out, err = run("retune", "c.json", "--store", "S", "--save", "no/r.json")
    assert code == 1
    assert "no folder" in err
