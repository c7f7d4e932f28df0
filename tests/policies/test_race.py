"""Kinds of policies searched fold by fold: who drops out, who is searched to the end, what a stop leaves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import wisecommittee as wc
from wisecommittee import LogitStore, ModelCard, Query, Target
from wisecommittee.searches.resampling.cross_fit import Skipped
from wisecommittee.searches.resampling.race import Runner, race
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.workers.execution import Execution

FOLDS, UNITS = 5, 200


class Searches:
    """Folds whose search gives each unit a quality, without a search."""

    def __init__(self, quality, calls):
        self.quality, self.calls, self.made, self.skipped = quality, calls, [], None

    def __len__(self):
        return FOLDS

    def search_next(self):
        if len(self.made) == FOLDS:
            return False
        self.calls.append(self)
        self.made.append(SimpleNamespace(quality=self.quality[len(self.made)]))
        return True

    def result(self):
        return SimpleNamespace(folds=self.made)


class Fake(Runner):
    def gain(self, fold):
        return fold.quality


def raced(shares, stop_after=None, rule=lambda fold: None):
    rng, calls = np.random.default_rng(0), []
    ease = rng.random((FOLDS, UNITS))
    runners = {kind: Fake(Searches((ease < share).astype(float), calls), rule) for kind, share in shares.items()}
    stopped = lambda: stop_after is not None and len(calls) >= stop_after  # noqa: E731
    return (*race(runners, None, stopped), {kind: len(each.searches.made) for kind, each in runners.items()})


def test_a_clearly_worse_kind_is_searched_without_two_folds_only():
    found, dropped, folds = raced({"thresholds": 0.7, "bad": 0.5, "good": 0.8})
    assert folds == {"thresholds": FOLDS, "bad": 2, "good": FOLDS}
    assert list(dropped) == ["bad"]
    assert "below good on the units of the first 2 folds" in dropped["bad"]
    assert set(found) == {"thresholds", "good"}


def test_the_simplest_kind_and_kinds_within_the_noise_stay():
    found, dropped, folds = raced({"thresholds": 0.5, "one": 0.8, "other": 0.79})
    assert (dropped, set(folds.values())) == ({}, {FOLDS})
    assert set(found) == {"thresholds", "one", "other"}


def test_without_a_rule_before_the_folds_nobody_drops_out():
    _, dropped, folds = raced({"thresholds": 0.7, "bad": 0.1}, rule=None)
    assert (dropped, folds) == ({}, {"thresholds": FOLDS, "bad": FOLDS})


def test_after_a_stop_only_kinds_with_every_fold_have_figures():
    found, _, folds = raced({"thresholds": 0.7, "one": 0.75, "other": 0.75}, stop_after=FOLDS + 3)
    assert folds == {"thresholds": FOLDS, "one": 2, "other": 1}
    assert not isinstance(found["thresholds"], Skipped)
    assert found["one"].stopped
    assert found["other"].stopped


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 300)
    store = LogitStore(tmp_path / "logits")
    for sharp, (name, cost) in enumerate({"a": 10, "b": 30, "c": 90}.items(), start=1):
        logits = (rng.normal(size=(300, 3)) + 0.7 * sharp * np.eye(3)[labels]).astype(np.float32)
        store.add(ModelCard(name, blocks={name: cost}), "val", outputs=logits, labels=labels)
    return store


@pytest.mark.parametrize("policy", ["labels", "agreement", "deferral", "adaptive"])
def test_a_search_that_is_out_of_time_keeps_what_it_has(store, policy):
    frontier = wc.search(store, policy=policy, max_models=2, time_limit=1e-9)
    assert frontier.searched["complete"] is False
    assert frontier.searched["stopped_by"] == "time limit"
    singles = {e.committee.models[0]: e.quality for e in frontier.singles}
    assert frontier.best().quality >= max(singles.values())
    whole = wc.search(store, policy=policy, max_models=2)
    assert whole.searched["complete"] is True


def test_every_kind_out_of_time_leaves_the_choice_of_the_simplest(store):
    query, target = Query(policy="auto", max_models=2, levels=10), Target("target_flops", 60.0)
    choice = wc.search_and_choose(store, query, target, Execution(time_limit=1e-9), Selection(folds=4))
    assert choice.frontier.searched["complete"] is False
    assert choice.val.average_cost <= 60
    assert choice.evidence.expected is None
    assert "stopped" in choice.evidence.note


def test_a_fit_tells_its_progress(store):
    told = []
    progress = lambda task, done, total: told.append((task, done, total))  # noqa: E731
    wc.search(store, policy="adaptive", max_models=2, progress=progress)
    assert [each for each in told if each[0] == "adaptive"] == [("adaptive", n, 6) for n in range(1, 7)]
