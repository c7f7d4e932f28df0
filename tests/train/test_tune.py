"""The search of IRENE's hyper-parameters: its ranges, interruptions, and one small run of the command."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from wisecommittee.cli import main
from wisecommittee.published import load

from wisecommittee.analyses.compare import PoolJudge, compare
from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.naming import Origin
from wisecommittee.errors import ContentError, DivergedError, StoreError, UnknownNameError, UsageError
from wisecommittee.store import LogitStore
from wisecommittee.train import tune as module
from wisecommittee.train.data import open_training_data
from wisecommittee.train.irene_presets import make_irene
from wisecommittee.train.tune import RANGES, Between, pool_of, read_range, tune, usual_ranges

METHOD = make_irene(open_training_data("digits"), seed=1)


class Stop(Exception):
    pass


@pytest.fixture
def trained(monkeypatch):
    """Instead of training: the settings of every run, in order."""
    seen = []

    def train_irene(store, methods, **options):
        (method,) = methods.values()
        assert method.first == "trained"
        seen.append({name: getattr(method, name) for name in usual_ranges(method)})
        card = SimpleNamespace(model=f"member-{len(seen)}")
        return [SimpleNamespace(card=card, split=split) for split in ("val", "test")]

    monkeypatch.setattr(module, "train_irene", train_irene)
    monkeypatch.setattr(module, "with_first", lambda method, **options: replace(method, first="trained"))
    return seen


def near(seen):
    """Worth the most at w1 = 1e-2, w2 = 1e-3."""

    def judge(store, models):
        assert models == [f"member-{len(seen)}"]
        w1, w2 = seen[-1]["w1"], seen[-1]["w2"]
        worth = math.exp(-abs(math.log10(w1) + 2) - abs(math.log10(w2) + 3))
        return worth, 0.9, 1.5

    return judge


def test_the_ranges_of_table_3():
    printed = {row.hyper_parameter: row for row in load("irene_table3").itertuples()}
    names = {"selector_lr": "learning rate", "w1": "loss weight w1", "w2": "loss weight w2", "w3": "loss weight w3"}
    for name, theirs in names.items():
        row = printed[theirs]
        assert RANGES[name] == Between(float(row.lowest), float(row.highest))
    choices = printed["learning rate decay"].choices
    assert RANGES["selector_factor"] == tuple(map(float, choices.split()))
    assert len(RANGES) == len(printed)


def test_trials_stay_in_their_ranges_and_find_the_best(trained, tmp_path):
    found = tune(METHOD, near(trained), folder=tmp_path)
    assert len(found) == len(trained) == 24
    assert sorted(trial.number for trial in found) == list(range(24))
    assert [trained[trial.number] for trial in found] == [trial.settings for trial in found]
    assert [trial.worth for trial in found] == sorted((trial.worth for trial in found), reverse=True)
    assert (found[0].quality, found[0].cost) == (0.9, 1.5)
    for settings in trained:
        for name, given in usual_ranges(METHOD).items():
            value = settings[name]
            assert given.lowest <= value <= given.highest if isinstance(given, Between) else value in given
    # Uniform in the logarithm, not in the number: most of [1e-5, 0.1] lies above 1e-2 only in the latter.
    assert sum(settings["selector_lr"] < 1e-2 for settings in trained) > 8
    later = sum(trial.worth for trial in found if trial.number >= 12)
    assert later > sum(trial.worth for trial in found if trial.number < 12)  # it learns


def test_an_interrupted_search_goes_on(trained, tmp_path):
    whole = tune(METHOD, near(trained), folder=tmp_path / "whole", trials=14)
    straight = list(trained)
    trained.clear()
    judge = near(trained)

    def interrupted(store, models):
        if len(trained) == 12:
            raise Stop
        return judge(store, models)

    with pytest.raises(Stop):
        tune(METHOD, interrupted, folder=tmp_path / "parts", trials=14)
    assert tune(METHOD, judge, folder=tmp_path / "parts", trials=14) == whole
    assert trained == [*straight[:12], straight[11], *straight[12:]]
    count = len(trained)
    assert tune(METHOD, judge, folder=tmp_path / "parts", trials=14) == whole
    assert len(trained) == count
    assert len(tune(METHOD, judge, folder=tmp_path / "parts", trials=15)) == 15


def test_ranges_given(trained, tmp_path):
    ranges = usual_ranges(METHOD) | dict([read_range("w1=0.5:2"), read_range("w2=0.1,0.2")])
    tune(METHOD, lambda store, models: (1.0, 0.5, 1.0), folder=tmp_path, trials=6, ranges=ranges)
    assert all(0.5 <= settings["w1"] <= 2 and settings["w2"] in (0.1, 0.2) for settings in trained)
    only = {"diversity": Between(0.01, 1.0)}
    found = tune(METHOD, lambda store, models: (1.0, 0.5, 1.0), folder=tmp_path / "d", trials=2, ranges=only)
    assert list(found[0].settings) == ["diversity"]
    assert trained[-1]["w1"] == METHOD.w1


def test_the_decay_is_searched_only_where_it_happens(trained, tmp_path):
    assert set(RANGES) - set(usual_ranges(METHOD)) == {"selector_factor"}
    assert usual_ranges(replace(METHOD, recipe=replace(METHOD.recipe, milestones=(0.5,)))) == RANGES
    with pytest.raises(UsageError, match="selector_factor: the learning rates fall by a cosine here"):
        tune(METHOD, near(trained), folder=tmp_path, ranges=RANGES)
    with pytest.raises(UsageError, match="selector factor: the learning rates of these data fall by a cosine"):
        make_irene(METHOD.data, selector_factor=0.5)
    assert trained == []


def test_the_first_model_is_trained_once_for_all_trials(tmp_path, monkeypatch):
    small = make_irene(METHOD.data, models=2, epochs=1)
    rows = []
    options = {"log": rows.append, "checkpoints": None}
    found = tune(small, lambda store, models: (1.0, 0.5, 1.0), folder=tmp_path, trials=2, **options)
    module.put_best(small, found[0], LogitStore(tmp_path / "logits"), **options)
    assert [row["phase"] for row in rows] == ["model-1", "model-2", "model-2"]
    # What the best is by itself, all of it trained.
    alone = LogitStore(tmp_path / "alone")
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "another"))
    module.train_irene(alone, {"tuned": replace(small, **found[0].settings)})
    for name in alone.models("val"):
        assert np.array_equal(alone.outputs(name, "val"), LogitStore(tmp_path / "logits").outputs(name, "val"))


def test_a_diverged_training_is_worth_nothing(tmp_path, monkeypatch):
    def diverge(store, methods, **options):
        raise DivergedError("model-1: the loss became nan")

    monkeypatch.setattr(module, "train_irene", diverge)
    monkeypatch.setattr(module, "with_first", lambda method, **options: method)
    found = tune(METHOD, lambda store, models: pytest.fail("judged"), folder=tmp_path, trials=2)
    assert [(trial.worth, trial.quality) for trial in found] == [(0.0, None)] * 2
    assert found[0].printed()[-3:] == ["diverged", "-", "0.00"]


def test_bad_input(trained, tmp_path):
    judge = near(trained)
    with pytest.raises(UsageError, match="0 trials: expected at least 1"):
        tune(METHOD, judge, folder=tmp_path, trials=0)
    with pytest.raises(UnknownNameError, match="unknown hyper-parameter 'w4'; did you mean 'w"):
        tune(METHOD, judge, folder=tmp_path, ranges={"w4": Between(0.1, 1)})
    with pytest.raises(UsageError, match=r"w1 between 1 and 0\.1: expected 0 < lowest < highest"):
        tune(METHOD, judge, folder=tmp_path, ranges={"w1": Between(1, 0.1)})
    for text in ("w1", "w1=a:b", "w1=1:2:3", "w1=", "w1=1,x"):
        with pytest.raises(UsageError, match="expected NAME=LOWEST:HIGHEST or NAME=VALUE,VALUE"):
            read_range(text)
    tune(METHOD, judge, folder=tmp_path, trials=1)
    other = make_irene(METHOD.data, seed=2)
    with pytest.raises(ContentError, match="holds a search with other settings"):
        tune(other, judge, folder=tmp_path, trials=1)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    common = ("--store", "S", "--pixel-noise", 0.1, "--epochs")
    searching = ("train", "tune", *common, 1, "--trials", 2, "--models-count", 2, "--range", "w2=0.1,0.2", "--json")
    code, said = run(*searching)
    assert code == 1
    assert "utility is measured by pool-digits-digits-cnn/0, /1, .., of which 'S' has 0 in 'val'" in said.err
    code, said = run("train", "pool", "--backbone", "digits-cnn", "--replicas", 2, *common, 5)
    assert code == 0, said.err
    code, said = run(*searching)
    assert code == 0, said.err
    trials = json.loads(said.out)["trials"]
    assert len(trials) == 2
    store = LogitStore("S")
    tuned = [card for card in store.cards("val") if Origin.of(card.architecture).variant == "tuned"]
    assert len(tuned) == 2
    assert {name: tuned[0].meta["settings"][name] for name in usual_ranges(METHOD)} == trials[0]["settings"]
    # What the search saw on val is what `compare` chooses there.
    judge = PoolJudge.by_pool(Study(store), pool_of(METHOD.__class__(METHOD.data, METHOD.backbones, METHOD.recipe)))
    assert judge(store, [card.model for card in tuned]) == pytest.approx(
        (trials[0]["worth"], trials[0]["quality"], trials[0]["cost"])
    )
    assert compare(Study(store))[0].rows[-1].method == "IRENE tuned"


def test_a_pool_that_gains_nothing_is_no_measure(tmp_path):
    store, pool = LogitStore(tmp_path / "logits"), Origin("pool", "digits", "tiny")
    outputs = 3 * np.eye(3, dtype=np.float32)
    for replica in range(2):
        card = ModelCard(f"{pool.architecture}/{replica}", blocks={f"block-{replica}": 10})
        store.add(card, "val", labels=[0, 1, 2], outputs=outputs)
    with pytest.raises(StoreError, match="no utility to search by, the average ensemble"):
        PoolJudge.by_pool(Study(store), pool)
