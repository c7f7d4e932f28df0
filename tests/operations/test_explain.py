"""Why a unit left: what is printed of each unit is what the evaluator does with it, for every kind of policy."""

from __future__ import annotations

import json

import naive
import numpy as np
import pytest
from policy_committees import KINDS, N, every_kind, make_store

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Thresholds
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.errors import AbsentError, UsageError
from wisecommittee.operations.explain import explain_all, wrong_units
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store.checks import NO_LABEL

SOME = list(range(0, N, 16))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("explain"))


@pytest.fixture(scope="module")
def committees(store):
    return every_kind(store)


@pytest.mark.parametrize("kind", KINDS)
def test_every_unit_leaves_as_the_evaluator_says(kind, committees, store):
    committee = committees[kind]
    frame = evaluate_units(committee, store, "val")
    for row, e in zip(SOME, explain_all(committee, store, [str(row) for row in SOME], "val"), strict=True):
        unit, last = frame.iloc[row], e.steps[-1]
        answer = None if str(unit["prediction"]) == "<NA>" else unit["prediction"]
        assert (e.stage + 1, last.cost, e.answer.prediction) == (unit["stage"], unit["cost"], answer)
        assert e.outcome == {"label": unit["label"], "correct": unit["correct"]}
        if "confidence" in frame and kind != "adaptive":
            assert e.answer.confidence == unit["confidence"]
        part = committee if e.part is None else committee.parts[e.part["part"] - 1]
        stages = sorted(step.stage for step in (*e.steps, *e.not_run))
        assert stages == list(range(len(part.stages)))
        assert [step.exits for step in e.steps] == [False] * (len(e.steps) - 1) + [True]
        costs = committee.stage_costs(committee.parts.index(part))
        for number in range(1, len(e.steps) + 1):
            route = tuple(step.stage for step in e.steps[:number])
            route = tuple(sorted(route)) if part.policy.unordered else route
            assert e.steps[number - 1].cost == costs[route]
        json.dumps(e.to_json(), allow_nan=False)


@pytest.mark.parametrize("kind", ["thresholds", "window", "labels", "deferral", "abstaining", "mixing"])
def test_the_margin_is_above_0_exactly_where_the_unit_exits(kind, committees, store):
    asked = 0
    for e in explain_all(committees[kind], store, [str(row) for row in SOME], "val"):
        for step in e.steps:
            margins = [reason.margin for reason in step.reasons if reason.margin is not None]
            asked += len(margins)
            assert all((margin >= 0) == step.exits for margin in margins)
    assert asked > len(SOME) / 2


def test_a_margin_is_the_confidence_less_the_threshold(committees, store):
    committee = committees["thresholds"]
    rows = [str(row) for row in SOME]
    for e in explain_all(committee, store, rows, "val"):
        for step, threshold in zip(e.steps, committee.thresholds.values, strict=False):
            assert step.reasons[0].margin == pytest.approx(step.answer.confidence - threshold, abs=1e-6)
            sign = ">=" if step.exits else "<"
            assert step.reasons[0].text == f"max_prob {step.answer.confidence:.6g} {sign} {threshold:.6g}"
            assert step.condition == f"max_prob >= {threshold:.6g}"


def test_what_members_say_is_the_softmax_of_their_outputs(committees, store):
    for e in explain_all(committees["adaptive"], store, [str(row) for row in SOME], "val"):
        for step in (*e.steps, *e.not_run):
            for model, said in step.members.items():
                row = naive.softmax(store.outputs(model, "val")[int(e.unit)].tolist())
                assert said.prediction == int(np.argmax(row))
                assert said.confidence == pytest.approx(max(row), rel=1e-5)


def test_stages_that_did_not_run_say_what_the_committee_would_answer(committees, store):
    committee = committees["thresholds"]
    late = Committee(committee.stages, Thresholds((2.0,) * (len(committee.stages) - 1)))  # nobody exits early
    rows = [str(row) for row in SOME]
    for e, full in zip(explain_all(committee, store, rows, "val"), explain_all(late, store, rows, "val"), strict=True):
        for step, same in zip((*e.steps, *e.not_run), full.steps, strict=True):
            assert (step.answer, step.cost, step.members) == (same.answer, same.cost, same.members)


def test_a_router_names_the_features_and_its_cascade(committees, store):
    policy = committees["router"].policy
    lengths = store.features("val")["length"]
    for e in explain_all(committees["router"], store, [str(row) for row in SOME], "val"):
        first = (*e.start, *e.steps[0].reasons)
        assert f"of {len(policy.parts)} has the highest estimate" in first[0].text
        assert any(f"length = {lengths[int(e.unit)]}" in reason.text for reason in first)


def test_a_mixture_names_the_part_and_the_draw(committees, store):
    policy = committees["mixing"].policy
    assert isinstance(policy, Mixing)
    parts = set()
    for e in explain_all(committees["mixing"], store, [str(row) for row in SOME], "val"):
        assert e.part["part"] == 1 + int(policy.drawn(np.array([e.unit]))[0]) == 1 + (e.part["draw"] < policy.share)
        parts.add(e.part["part"])
    assert parts == {1, 2}


def test_an_abstention_says_what_was_too_low(committees, store):
    without = [e for e in explain_all(committees["abstaining"], store, [str(r) for r in range(60)], "val")
               if e.answer.prediction is None]  # fmt: skip
    assert without
    for e in without:
        assert e.answer_reasons[-1].text.startswith("to be answered: max_prob")
        assert e.answer_reasons[-1].margin < 0
        assert not e.outcome["correct"]


def test_saturated_confidences_are_told_apart_by_their_log_odds(tmp_path):
    store = LogitStore(tmp_path / "logits")
    logits = np.array([[20.0, 0], [40.0, 0]], np.float32)
    store.add(ModelCard("a", blocks={"a": 1}), "val", outputs=logits, labels=[0, 0])
    first, second = (wc.explain(Committee((("a",),)), store, unit).answer for unit in ("0", "1"))
    assert (first.log_odds, second.log_odds) == pytest.approx((20, 40), rel=1e-4)


def test_units_without_labels_have_no_outcome(tmp_path):
    store = LogitStore(tmp_path / "logits")
    outputs = 5 * np.eye(3, dtype=np.float32)
    store.add(ModelCard("a", blocks={"a": 1}), "live", outputs=outputs, labels=np.full(3, NO_LABEL))
    e = wc.explain(Committee((("a",),)), store, "1", "live")
    assert (e.outcome, e.answer.prediction) == ({}, 1)


def test_wrong_units_are_the_surest_first(committees, store):
    frame = evaluate_units(committees["thresholds"], store, "val")
    wrong = frame[~frame["correct"]]
    units = wrong_units(committees["thresholds"], store, "val", 4)
    assert frame.set_index("unit_id").loc[units, "confidence"].tolist() == sorted(wrong["confidence"])[::-1][:4]
    with pytest.raises(UsageError, match="from 1"):
        wrong_units(committees["thresholds"], store, "val", 0)


def test_a_unit_that_is_not_there_is_named(committees, store):
    with pytest.raises(AbsentError, match=r"no unit '999'; its 240 units begin with '0', '1', '2'"):
        wc.explain(committees["thresholds"], store, "999")


def test_the_command(committees, store, run, tmp_path):
    committees["thresholds"].save(tmp_path / "c.json")
    uri = store.files.uri
    code, text, _ = run("explain", tmp_path / "c.json", 3, "--store", uri)
    assert code == 0
    assert "unit 3 of val: is answered" in text
    assert "not run" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    code, text, _ = run("explain", tmp_path / "c.json", 3, 4, "--wrong", 2, "--store", uri, "--json")
    shown = json.loads(text)
    assert code == 0
    assert [each["unit_id"] for each in shown["units"]][:2] == ["3", "4"]
    assert len(shown["units"]) == 4
    assert run("explain", tmp_path / "c.json", "--store", uri)[0] == 2
    assert run("explain", tmp_path / "c.json", "nobody", "--store", uri)[0] == 1
