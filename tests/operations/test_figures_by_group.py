"""Figures by group of units, against loops over the units."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from wisecommittee import Committee, Thresholds, evaluate, evaluate_by
from wisecommittee.errors import AbsentNameError, AlignmentError, StoreError
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store.groups import write_groups


def write_column(path, units, values, name="hospital"):
    path.write_text(f"unit_id,{name}\n" + "".join(f"{u},{v}\n" for u, v in zip(units, values, strict=True)))
    return path


def test_each_group_has_the_figures_of_its_units(store, committee):
    frame = evaluate_units(committee, store, "test")
    found = evaluate_by(committee, store, "label", "test")
    assert [each.group for each in found] != sorted(each.group for each in found)  # not by name
    assert [each.quality for each in found] == sorted(each.quality for each in found)
    assert {each.group for each in found} == set(frame["label"].astype(str))
    for each in found:
        rows = frame[frame["label"].astype(str) == each.group]
        right = int(rows["correct"].sum())
        assert (each.n, each.quality) == (len(rows), right / len(rows))
        assert each.average_cost == pytest.approx(rows["cost"].mean())
        assert each.exit_ratios == tuple((rows["stage"] == k).mean() for k in (1, 2, 3))
        for level, interval in ((0.95, each.interval), (0.95 ** (1 / 5), each.simultaneous_interval)):
            known = stats.binomtest(right, len(rows)).proportion_ci(level, method="exact")
            assert interval == pytest.approx((known.low, known.high))
        assert 100 <= each.simultaneous_cost_interval[0] <= each.cost_interval[0] <= each.average_cost
        assert each.average_cost <= each.cost_interval[1] <= each.simultaneous_cost_interval[1] <= 2100


def test_groups_by_the_answer_and_by_columns_of_the_store_and_of_a_file(store, committee, tmp_path):
    units = store.unit_ids("test")
    frame = evaluate_units(committee, store, "test")
    answers = {each.group: each.n for each in evaluate_by(committee, store, "predicted", "test")}
    assert answers == frame["prediction"].astype(str).value_counts().to_dict()
    halves = ["left" if i % 2 else "right" for i in range(len(units))]
    write_groups(store, "test", units, {"side": halves})
    assert [each.n for each in evaluate_by(committee, store, "side", "test")] == [100, 100]
    file = write_column(tmp_path / "c.csv", [*reversed(units), "other"], [*reversed(halves), "left"])
    by_file = evaluate_by(committee, store, "hospital", "test", by_file=file)
    assert by_file == evaluate_by(committee, store, "side", "test")


def test_groups_of_few_units_stand_together_at_the_end(store, committee, tmp_path):
    units = store.unit_ids("test")
    values = ["most"] * 188 + ["a"] * 9 + ["b"] * 2 + [""]
    found = evaluate_by(committee, store, "hospital", "test", by_file=write_column(tmp_path / "c.csv", units, values))
    assert [(each.group, each.pooled, each.n) for each in found] == [("most", 1, 188), ("smaller groups", 3, 12)]
    values = ["most"] * 191 + ["a"] * 9
    found = evaluate_by(committee, store, "hospital", "test", by_file=write_column(tmp_path / "c.csv", units, values))
    assert {(each.group, each.n) for each in found} == {("most", 191), ("a", 9)}  # one small group needs no company


def test_a_single_model_has_groups_too(store):
    found = evaluate_by(Committee((("small",),), Thresholds()), store, "label", "test")
    assert all(each.exit_ratios == (1.0,) for each in found)
    assert all(each.cost_interval == (100, 100) for each in found)


def test_what_is_missing_is_named(store, committee, tmp_path):
    units = store.unit_ids("test")
    with pytest.raises(AbsentNameError, match=r"column of test .*'hospital'.*class, label, predicted"):
        evaluate_by(committee, store, "hospital", "test")
    short = write_column(tmp_path / "short.csv", units[1:], ["x"] * 199)
    with pytest.raises(AlignmentError, match="no row for 1 unit of 200, such as '0'"):
        evaluate_by(committee, store, "hospital", "test", by_file=short)
    twice = write_column(tmp_path / "twice.csv", [*units, "0"], ["x"] * 201)
    with pytest.raises(AlignmentError, match="'0' stands more than once"):
        evaluate_by(committee, store, "hospital", "test", by_file=twice)
    (tmp_path / "no_ids.csv").write_text("hospital\nx\n")
    with pytest.raises(StoreError, match="no column 'unit_id'"):
        evaluate_by(committee, store, "hospital", "test", by_file=tmp_path / "no_ids.csv")
    with pytest.raises(StoreError, match="no column 'ward'"):
        evaluate_by(committee, store, "ward", "test", by_file=short)


def test_the_command_adds_groups_to_its_answer(store, committee, run, tmp_path, monkeypatch):
    committee.save("c.json")
    code, out, err = run("evaluate", "c.json", "--store", "S", "--json")
    plain = json.loads(out)
    assert (code, err) == (0, "")
    assert "groups" not in plain
    code, out, err = run("evaluate", "c.json", "--store", "S", "--by", "class", "--json")
    grouped = json.loads(out)
    assert (code, err) == (0, "")
    assert {name: value for name, value in grouped.items() if name not in ("by", "groups")} == plain
    assert grouped["groups"] == [each.to_json() for each in evaluate_by("c.json", store, "class", "test")]
    assert sum(each["n"] * each["quality"] for each in grouped["groups"]) == pytest.approx(plain["correct"])
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("evaluate", "c.json", "--store", "S", "--by", "class", "--split", "val")
    assert code == 0
    assert "all 5 groups" in out
    assert "val chose this committee, so these figures are optimistic" in " ".join(out.split())
    code, out, err = run("evaluate", "c.json", "--store", "S", "--by-file", "x.csv")
    assert code == 2
    assert "--by COLUMN" in err


def test_groups_are_means_of_the_whole(store, committee):
    whole = evaluate(committee, store, "test")
    found = evaluate_by(committee, store, "class", "test")
    assert sum(each.n for each in found) == whole.n
    assert np.average([each.average_cost for each in found], weights=[each.n for each in found]) == pytest.approx(
        whole.average_cost
    )
