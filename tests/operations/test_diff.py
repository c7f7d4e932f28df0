"""What differs between two committees: fields of their files, and units whose counts are those of plain loops."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from policy_committees import TRUNK, N, make_store
from scipy import stats

import wisecommittee as wc
from wisecommittee import Committee, ModelCard, Thresholds
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.units import evaluate_units

MEMBERS = {name: {"kind": "logits", "blocks": blocks, "weights": None} for name, blocks in TRUNK.items()}
A = Committee((("a",), ("c",)), Thresholds((0.8,)), members=MEMBERS, chosen_on="val")
B = Committee((("b",), ("c",)), Thresholds((0.7,)), confidence="prob_gap", members=MEMBERS, chosen_on="test")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("diff"))


def test_fields_that_differ_are_named_and_no_others():
    found = wc.diff(A, B)
    assert [(f.name, f.a, f.b) for f in found.fields] == [
        ("stages", [["a"], ["c"]], [["b"], ["c"]]),
        ("thresholds", [0.8], [0.7]),
        ("confidence", "max_prob", "prob_gap"),
        ("chosen_on", "val", "test"),
        ("fingerprint", A.fingerprint, B.fingerprint),
    ]
    assert (found.alike, found.store, found.on) == (False, None, None)


def test_what_is_nested_is_named_by_its_path():
    other = replace(A, members=MEMBERS | {"c": MEMBERS["c"] | {"weights": "new"}}, provenance={"query": {"levels": 9}})
    found = wc.diff(A, other)
    assert ("members.c.weights", None, "new") in [(f.name, f.a, f.b) for f in found.fields]
    assert found.alike
    assert wc.diff(A, A).fields == ()


def test_units_are_counted_as_loops_count_them(store):
    on = wc.diff(A, B, store, "test").on
    first, second = (evaluate_units(c, store, "test") for c in (A, B))
    answers = [x != y for x, y in zip(first["prediction"], second["prediction"], strict=True)]
    right = list(zip(first["correct"], second["correct"], strict=True))
    assert (on.n, on.answers) == (N, sum(answers))
    assert on.stages == sum(x != y for x, y in zip(first["stage"], second["stage"], strict=True))
    sides = {"both": (True, True), "a_only": (True, False), "b_only": (False, True), "neither": (False, False)}
    assert on.right == {name: right.count(pair) for name, pair in sides.items()}
    assert on.quality["difference"] == pytest.approx(second["correct"].mean() - first["correct"].mean())
    trials = on.right["a_only"] + on.right["b_only"]
    assert on.quality["p"] == pytest.approx(stats.binomtest(on.right["a_only"], trials).pvalue)
    low, high = on.quality["interval"]
    assert low < on.quality["difference"] < high
    gaps = (second["cost"] - first["cost"]).to_numpy()
    assert on.cost["difference"] == pytest.approx(gaps.mean())
    student = stats.t.interval(0.95, N - 1, gaps.mean(), stats.sem(gaps))
    assert on.cost["interval"] == pytest.approx(student, rel=0.1)
    differing = [str(unit) for unit in np.flatnonzero(answers)[:5]]
    assert [pair.unit for pair in on.units] == differing
    assert all(pair.prediction[0] != pair.prediction[1] for pair in on.units)
    assert on.chose == ("b",)


def test_equal_committees_have_an_interval_that_new_units_can_leave(store):
    """Where no unit differs, new units still may: the interval is not a point."""
    on = wc.diff(A, replace(A, policy=Thresholds((0.8000001,))), store, "test").on
    assert (on.answers, on.cost["difference"]) == (0, 0)
    assert on.cost["interval"][0] < 0 < on.cost["interval"][1]
    assert on.quality["interval"][0] < 0 < on.quality["interval"][1]


def test_both_are_charged_in_the_cost_of_the_first(store):
    on = wc.diff(replace(A, cost="usd"), B, store, "test").on
    assert on.cost["name"] == "usd"
    assert on.cost["b"] == pytest.approx(wc.evaluate(B, store, "test", cost="usd").average_cost)


def test_one_committee_is_compared_with_the_store(store, tmp_path):
    chosen = wc.search(store, max_models=2, levels=6).best().committee
    assert wc.diff(chosen, store=store).store == {"a": ()}
    other = make_store(tmp_path, seed=4)
    changed = wc.diff(chosen, store=other).store["a"]
    assert changed[0] == "val has other units or labels than chose it"
    assert "are not those that chose it" in changed[1]
    heavier = ModelCard("a", blocks={"a": 11}, costs={"usd": 1.0, "tokens": 1.0})
    outputs, labels = store.outputs("a", "test"), store.labels("test")
    other.add(heavier, "later", outputs=outputs, labels=labels)
    assert any(line.startswith("later: a: its multiply-adds differ") for line in wc.diff(A, store=other).store["a"])


def test_neither_a_committee_nor_a_store_is_no_comparison():
    with pytest.raises(UsageError, match="name a second committee, or a store"):
        wc.diff(A)


def test_weights_that_differ_from_those_of_the_choice_are_refused(store):
    other = replace(A, members=MEMBERS | {"a": MEMBERS["a"] | {"blocks": {"a": 3}}})
    with pytest.raises(CommitteeError, match="multiply-adds differ"):
        wc.diff(A, other, store)
    assert wc.diff(A, other, store, force=True).on.answers == 0


def test_the_command_exits_with_0_whether_or_not_they_differ(store, run, tmp_path):
    A.save(tmp_path / "a.json")
    B.save(tmp_path / "b.json")
    code, text, _ = run("diff", tmp_path / "a.json", tmp_path / "a.json")
    assert (code, text) == (0, "the files say the same\n")
    code, text, _ = run("diff", tmp_path / "a.json", tmp_path / "b.json", "--store", store.files.uri)
    assert code == 0
    assert "240 units" in text
    assert "test chose B, so these figures flatter it" in text
    code, text, _ = run("diff", tmp_path / "a.json", tmp_path / "b.json", "--store", store.files.uri, "--json")
    shown = json.loads(text)
    assert code == 0
    assert shown["on"]["right"] == wc.diff(A, B, store).on.right
    assert run("diff", tmp_path / "a.json")[0] == 2
