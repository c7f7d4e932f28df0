"""A committee on a stream: figures against loops over the units, alarms, labels, the reference."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from streams import add_stream

from wisecommittee import Committee, LogitStore, Thresholds, evaluate, monitor
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.errors import AbsentError, AlignmentError, CommitteeError, ContentError, StoreError, UsageError
from wisecommittee.searches.units import evaluate_units
from wisecommittee.statistics.sequential import mean_change


def named(found):
    return {each.name: each for each in found.watched}


def test_the_watched_figures_are_those_of_evaluate(store, committee):
    add_stream(store, "live", 300)
    found = named(monitor(committee, store))
    reference, live = (evaluate(committee, store, split) for split in ("test", "live"))
    names = ["exits at stage 1", "exits at stage 2", "average cost", "agreement", "accuracy"]
    assert list(found) == names
    for name, value in (("average cost", "average_cost"), ("accuracy", "quality")):
        assert found[name].reference == pytest.approx(getattr(reference, value))
        assert found[name].live == pytest.approx(getattr(live, value))
    for stage in (0, 1):
        assert found[names[stage]].live == pytest.approx(live.exit_ratios[stage])
    first = Committee((("small",),), Thresholds())
    frame, alone = evaluate_units(committee, store, "live"), evaluate_units(first, store, "live")
    later = frame["stage"] > 1
    kept = (frame["prediction"] == alone["prediction"])[later]
    assert found["agreement"].n == later.sum()
    assert found["agreement"].live == pytest.approx(kept.mean())
    right = frame["correct"].to_numpy(float)
    before = evaluate_units(committee, store, "test")["correct"].to_numpy(float)
    assert found["accuracy"].interval == pytest.approx(mean_change(before, right, 0.05 / 5).interval)


def test_the_share_of_answers_is_watched_where_a_policy_abstains(store, committee):
    add_stream(store, "live", 300)
    assert "answered" not in named(monitor(committee, store))
    shy = replace(committee, policy=Abstaining(committee.policy, (0.9, 0.9, 0.9)))
    watched = named(monitor(shy, store))["answered"]
    for split, share in (("test", watched.reference), ("live", watched.live)):
        given = evaluate_units(shy, store, split)["prediction"].notna()
        assert 0 < given.mean() < 1
        assert share == pytest.approx(given.mean())


def test_two_stages_of_fixed_cost_count_once(store):
    add_stream(store, "live", 200)
    pair = Committee((("small",), ("large",)), Thresholds((0.8,)), chosen_on="val")
    found = named(monitor(pair, store, alpha=0.06))
    before, now = ((evaluate_units(pair, store, split)["stage"] == 1).to_numpy(float) for split in ("test", "live"))
    low, high = mean_change(before, now, 0.06 / 3).interval  # exits and cost, agreement, accuracy
    assert found["exits at stage 1"].interval == pytest.approx((low, high))
    assert found["average cost"].interval == pytest.approx((-1600 * high, -1600 * low))


def test_a_stream_of_surer_models_has_drifted_and_one_like_the_reference_has_not(store, committee):
    add_stream(store, "same", 1000)
    add_stream(store, "sure", 1000, sharpness=2.0)
    steady, drifted = monitor(committee, store, "same"), monitor(committee, store, "sure")
    assert (steady.verdict, steady.unit) == ("steady", None)
    assert drifted.verdict == "drifted"
    moved = named(drifted)
    assert moved["exits at stage 1"].verdict == "drifted"
    assert moved["exits at stage 1"].interval[0] > 0
    assert moved["average cost"].interval[1] < 0
    assert moved["accuracy"].interval[1] < 0  # more units are answered by the small model
    assert drifted.unit == min(each.unit for each in drifted.watched if each.unit)
    assert drifted.unit < 500


def test_drift_is_dated_in_the_order_of_the_store(store, committee):
    """Agreement counts a part of the units; its alarm still is a number of the whole stream."""
    labels = add_stream(store, "live", 1500, sharpness=2.0)
    shuffled = np.roll(labels, 1)
    units = store.unit_ids("live")
    with open("wrong.csv", "w") as file:
        file.write("unit_id,label\n" + "".join(f"{u},{y}\n" for u, y in zip(units[500:], shuffled[500:], strict=True)))
    accuracy = named(monitor(committee, store, labels="wrong.csv"))["accuracy"]
    assert accuracy.n == 1000
    assert accuracy.verdict == "drifted"
    assert accuracy.unit > 500


def test_labels_come_from_the_split_or_a_file_or_are_missing(store, committee, tmp_path):
    labels = add_stream(store, "live", 300, labelled=False)
    without = monitor(committee, store)
    assert "accuracy" not in named(without)
    assert without.with_labels == 0
    assert without.to_json()["with_labels"] == 0
    np.save(tmp_path / "labels.npy", labels)
    with_all = monitor(committee, store, labels=tmp_path / "labels.npy")
    assert with_all.with_labels == 300
    add_stream(store, "known", 300)
    assert named(with_all)["accuracy"] == named(monitor(committee, store, "known"))["accuracy"]
    (tmp_path / "some.csv").write_text("unit_id,label\n" + "".join(f"{i},{labels[i]}\n" for i in range(0, 300, 3)))
    assert named(monitor(committee, store, labels=tmp_path / "some.csv"))["accuracy"].n == 100
    np.save(tmp_path / "short.npy", labels[:-1])
    with pytest.raises(AlignmentError, match="299 labels without unit ids, live has 300 units"):
        monitor(committee, store, labels=tmp_path / "short.npy")
    for text, why in (("0,cat", "expected whole numbers from 0"), ("0,5", "outside the 5 classes")):
        (tmp_path / "wrong.csv").write_text(f"unit_id,label\n{text}\n")
        with pytest.raises(ContentError, match=why):
            monitor(committee, store, labels=tmp_path / "wrong.csv")
    (tmp_path / "others.csv").write_text("unit_id,label\nx,1\n")
    with pytest.raises(AlignmentError, match=r"no unit of live; its units are called '0', \.\., those of the file 'x'"):
        monitor(committee, store, labels=tmp_path / "others.csv")


def test_the_reference_is_test_else_the_split_that_chose(store, committee, imported_store):
    add_stream(store, "live", 100)
    assert monitor(committee, store).reference.split == "test"
    chose = monitor(committee, store, against="val")
    assert chose.reference_chose
    assert not monitor(committee, store).reference_chose
    for model in ("small", "mid", "large"):
        store.remove(model, "test")
    assert monitor(committee, LogitStore(imported_store)).reference.split == "val"
    unchosen = Committee(committee.stages, committee.policy)
    with pytest.raises(AbsentError, match="neither a test split nor the split that chose"):
        monitor(unchosen, LogitStore(imported_store))
    with pytest.raises(UsageError, match="compared with another split"):
        monitor(committee, LogitStore(imported_store), against="live")
    with pytest.raises(StoreError, match="no split 'june'"):
        monitor(committee, LogitStore(imported_store), against="june")


EXPECTED = {"quality": 0.9, "interval": [0.86, 0.93], "average_cost": 480.0, "cost_interval": [430.0, 540.0]}


def test_without_a_reference_split_the_expected_figures_stand_in(store, committee, imported_store, run):
    add_stream(store, "live", 500)
    add_stream(store, "sure", 1500, sharpness=4.0)
    for split in ("val", "test"):
        for model in ("small", "mid", "large"):
            store.remove(model, split)
    carried = replace(committee, expected=EXPECTED)
    found = monitor(carried, LogitStore(imported_store))
    assert (found.against, found.reference) == ("expected", None)
    assert list(named(found)) == ["average cost", "accuracy"]
    cost, accuracy = found.watched
    assert (cost.reference, accuracy.reference) == pytest.approx((480, 0.9))
    assert cost.live == evaluate(committee, store, "live").average_cost
    for figure, half in ((cost, 55 / 2000), (accuracy, 0.035)):
        share = (figure.reference - 100) / 2000 if figure is cost else figure.reference
        error = np.sqrt(share * (1 - share) / figure.reference_n)
        assert 1.96 * error == pytest.approx(half, rel=0.01)
    assert named(monitor(carried, store, "sure"))["average cost"].verdict == "drifted"
    carried.save("c.json")
    code, out, err = run("monitor", "c.json", "--store", "S", "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert (answer["against"], answer["against_n"], answer["exit_ratios"]["reference"]) == ("expected", None, None)
    assert "whose interval is counted" in " ".join(run("monitor", "c.json", "--store", "S")[1].split())
    with pytest.raises(AbsentError, match="name another"):
        monitor(carried, store, cost="latency_ms")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"average_cost": "much"}, "average_cost of \"expected\" is 'much'; expected a number"),
        ({"cost_interval": [1]}, 'cost_interval of "expected" is .*; expected two numbers'),
        ({"average_cost": 9e9}, "possible are 100 to 2100"),
        ({"quality": 0.5}, r"quality 0.5 in \[0.86, 0.93\]"),
    ],
)
def test_expected_figures_that_cannot_be_are_named(store, committee, wrong, message):
    add_stream(store, "live", 100)
    for split in ("val", "test"):
        for model in ("small", "mid", "large"):
            store.remove(model, split)
    with pytest.raises(CommitteeError, match=message):
        monitor(replace(committee, expected={**EXPECTED, **wrong}), store)


def test_what_cannot_be_watched_is_said(store, committee):
    add_stream(store, "live", 100, labelled=False)
    with pytest.raises(AbsentError, match="runs the same models for every unit"):
        monitor(Committee((("small",),), Thresholds()), store)
    with pytest.raises(UsageError, match="alpha=1"):
        monitor(committee, store, alpha=1)
    with pytest.raises(StoreError, match="no split 'july'"):
        monitor(committee, store, "july")
    with pytest.raises(CommitteeError, match="huge"):
        monitor(Committee((("huge",),), Thresholds()), store, against="test")


def test_the_command(store, committee, run, monkeypatch):
    committee.save("c.json")
    add_stream(store, "live", 400, sharpness=2.0, labelled=False)
    code, out, err = run("monitor", "c.json", "--store", "S", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer == json.loads(json.dumps(monitor(committee, store).to_json()))
    assert (answer["verdict"], answer["against"], answer["against_chose"]) == ("drifted", "test", False)
    assert answer["unit"] in [each["unit"] for each in answer["watched"]]
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("monitor", "c.json", "--store", "S", "--against", "val")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "drifted: exits at stage 1" in words
    assert "val chose this committee" in words
    assert "Without labels accuracy is not measured" in words
    code, out, err = run("monitor", "c.json", "--store", "S", "--alpha", "2")
    assert code == 2
    assert "--alpha 2" in err
