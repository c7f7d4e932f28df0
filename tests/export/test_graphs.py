"""The graphs of a committee in torch, against the evaluator and against the functions of committees/."""

from __future__ import annotations

from dataclasses import replace

import exports
import numpy as np
import pytest
import torch
from torch import nn

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.combine import softmax as softmax_of
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES, scale_of
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.agreement import Agreement
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policies.window import Window
from wisecommittee.committees.policy import ALWAYS
from wisecommittee.committees.row_statistics import row_statistics
from wisecommittee.exporting.graphs.calibrations import calibrated
from wisecommittee.exporting.graphs.confidences import judge, shown
from wisecommittee.exporting.graphs.decisions import decision_of
from wisecommittee.exporting.graphs.members import MemberGraph
from wisecommittee.exporting.graphs.rows import softmax
from wisecommittee.exporting.graphs.stage import StageGraph
from wisecommittee.exporting.replay import run_stages
from wisecommittee.runtime import Runtime
from wisecommittee.runtime.membership import Membership
from wisecommittee.searches.units import evaluate_units

torch.set_num_threads(1)
NETS = exports.nets()
STAGES = (("small",), ("middle", "large/1"), ("large/0",))
FITTED = {
    "temperature": {"temperature": 1.7},
    "platt": {"slope": 0.6, "intercept": 0.3},
    "isotonic": {"x": [-1.0, 0.2, 0.21, 2.5], "y": [0.3, 0.5, 0.8, 0.95], "floor": 0.01},
}


@pytest.fixture(scope="module", params=["logits", "probabilities"])
def store(request, tmp_path_factory):
    return exports.stored(tmp_path_factory.mktemp("store") / "logits", NETS, request.param)


def kind_of(store):
    return store.card("small", "val").kind


def graphs_of(committee, kind):
    decision = decision_of(committee)
    assert decision is not None
    out = []
    for number, names in enumerate(committee.stages):
        ends = [nn.Sequential(NETS[name], *([nn.Softmax(1)] if kind == "probabilities" else [])) for name in names]
        members = [
            MemberGraph(net, Membership.of(name, committee, kind)) for name, net in zip(names, ends, strict=True)
        ]
        out.append(StageGraph(committee, number, [("inputs", member) for member in members], decision))
    return out


def called(stage):
    def run(arrays):
        with torch.no_grad():
            given = stage(*(torch.tensor(arrays[name]) for name in stage.names.taken))
        return {name: tensor.numpy() for name, tensor in zip(stage.names.outputs, given, strict=True)}

    return stage.names.taken, run


def ran(committee, kind, x=None):
    """What the graphs of the stages decide, with numpy between them."""
    stages = [called(stage) for stage in graphs_of(committee, kind)]
    return run_stages(stages, {"inputs": exports.inputs() if x is None else x})


def middles(committee, store):
    """Thresholds in a wide gap of the confidences after each stage, so that rounding decides nothing."""
    values = []
    for stage in range(len(committee.stages) - 1):
        part = replace(committee, stages=committee.stages[: stage + 1], policy=Thresholds((ALWAYS / 2,) * stage))
        never = replace(part, policy=Thresholds((3e38,) * stage))
        score = np.sort(evaluate_units(never, store, "val")["confidence"].to_numpy())
        middle = score[len(score) // 3 : 2 * len(score) // 3].astype(np.float64)
        at = int(np.diff(middle).argmax())
        values.append(float(np.float32((middle[at] + middle[at + 1]) / 2)))
    return Thresholds(tuple(values))


def assert_as_evaluated(committee, store):
    units, found = evaluate_units(committee, store, "val"), ran(committee, kind_of(store))
    assert (found.stage + 1).tolist() == units["stage"].tolist()
    assert found.prediction.tolist() == units["prediction"].fillna(-1).astype(int).tolist()
    if "confidence" in units:
        np.testing.assert_allclose(found.confidence, units["confidence"], rtol=2e-5, atol=1e-6)
    return found


def test_confidences_are_those_of_the_evaluator_within_rounding():
    rng = np.random.default_rng(1)
    for classes, spread, size in ((2, 1, 1), (2, 100, 3), (3, 30, 2), (10, 1e-3, 1), (10, 300, 1), (100, 8, 3)):
        logits = (rng.standard_normal((size, 300, classes)) * spread).astype(np.float32)
        logits[:, 0] = 0  # all classes alike
        for space in ("logits", "probabilities"):
            total = (logits if space == "logits" else softmax_of(logits)).sum(axis=0, dtype=np.float32)
            for name, confidence in CONFIDENCES.items():
                best, statistics = row_statistics(total, size, space, confidence.needs(space))
                expected, scale = confidence(statistics, space), scale_of(name)
                prediction, score = judge(torch.from_numpy(total), size, space, name)
                assert prediction.tolist() == best.tolist()
                room = 5 * scale.rounding(expected.astype(np.float64)) + 1e-45
                assert (np.abs(score.numpy().astype(np.float64) - expected) <= room).all(), (classes, spread, name)
                printed = shown(torch.from_numpy(expected), name).numpy()
                np.testing.assert_allclose(printed, scale.shown(expected), rtol=1e-6, atol=1e-37)


def test_softmax_keeps_the_last_bit_near_one_and_ties():
    rows = np.float32([[17.3, 0, -1], [0, 0, 0], [5, 5, 5], [1, 2, 3]])
    mine = softmax(torch.from_numpy(rows)).numpy()
    np.testing.assert_array_almost_equal_nulp(mine, softmax_of(rows), 1)
    assert mine[0, 0] == softmax_of(rows)[0, 0] < 1
    assert (mine[1:3].argmax(axis=1) == 0).all()


@pytest.mark.parametrize("method", FITTED)
def test_calibrations_are_those_of_the_store(method):
    calibration = Calibration(method, FITTED[method], "val", "")
    for spread in (0.01, 1, 20, 2000):
        rows = (np.random.default_rng(2).standard_normal((200, 4)) * spread).astype(np.float32)
        mine = calibrated(torch.from_numpy(rows), calibration).numpy()
        np.testing.assert_allclose(mine, calibration.rows(rows), rtol=3e-7, atol=1e-6)


def test_rows_with_numbers_that_are_not_finite_go_on_and_get_no_answer():
    committee = Committee((("small",), ("middle",)), Thresholds((0.0,)))
    x = exports.inputs()[:5]
    x[1], x[3] = np.nan, np.inf
    found = ran(committee, "logits", x)
    assert found.stage.tolist() == [0, 1, 0, 1, 0]
    assert found.prediction[[1, 3]].tolist() == [-1, -1]
    assert np.isnan(found.confidence[[1, 3]]).all()


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("combine", ["mean_logits", "mean_probs", "last"])
def test_rules_and_confidences_decide_as_evaluated(combine, confidence, store):
    committee = Committee(STAGES, Thresholds((0, 0)), confidence, combine)
    found = assert_as_evaluated(replace(committee, policy=middles(committee, store)), store)
    assert len(np.unique(found.stage)) == 3


@pytest.mark.parametrize("method", FITTED)
def test_calibrated_members_decide_as_evaluated(method, store):
    kind = kind_of(store)
    calibration = Calibration(method, FITTED[method], "val", "").to_json()
    members = {name: {"kind": kind, "calibration": calibration} for stage in STAGES for name in stage}
    committee = Committee(STAGES, Thresholds((0.5, 0.6)), members=members)
    bare = [called(stage) for stage in graphs_of(replace(committee, members={}), kind)]
    found = ran(committee, kind)
    assert found.stage.tolist() != run_stages(bare, {"inputs": exports.inputs()}).stage.tolist()
    callables = {name: (lambda x, name=name: said(name, x, kind)) for name in committee.models}
    expected = Runtime(committee, callables)(exports.inputs())
    assert found.stage.tolist() == expected.stage.tolist()
    assert found.prediction.tolist() == expected.prediction.tolist()
    np.testing.assert_allclose(found.confidence, expected.confidence, rtol=2e-5, atol=1e-6)


def said(name, x, kind):
    with torch.no_grad():
        rows = NETS[name](torch.from_numpy(x))
    return (rows.softmax(1) if kind == "probabilities" else rows).numpy()


POLICIES = {
    "log-odds": Thresholds((0.9975274, 0.997), (6.0, None)),
    "window": Window((0.2, 0.1), (0.8, 0.95), 1),
    "window of one side": Window((None, 0.1), (0.8, None), 1),
    "labels": Labels((0, 2), ((0,), (0, 1)), ((0.5, 0.9, 0.7), (0.6, None, 0.8)), ((1, 1, 1), (2, 2, 2))),
    "agreement": Agreement(((0.95,), (None, 0.8, ALWAYS)), ("large/0", "large/1", "middle", "small")),
    "abstaining": Abstaining(Thresholds((0.9, 0.9)), (0.95, None, 0.8)),
    "abstaining window": Abstaining(Window((0.2, 0.1), (0.8, 0.95), 1), (0.85, 0.97, 0.9)),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_decide_as_evaluated(policy, store):
    committee = Committee(STAGES, POLICIES[policy])
    found = assert_as_evaluated(committee, store)
    assert len(np.unique(found.stage)) > 1
    assert ((found.prediction == -1).any()) == ("abstaining" in policy)


def test_a_window_on_a_confidence_without_a_scale_decides_as_evaluated(store):
    committee = Committee(STAGES, Window((0.1, 0.2), (2.0, None)), "logit_gap")
    assert len(np.unique(assert_as_evaluated(committee, store).stage)) == 3


def test_units_that_skip_stages_and_answers_as_text_are_left_to_the_runtime():
    skipping = Labels((0,), ((0,),), ((0.5, 0.5),), ((1, 2),))
    assert decision_of(Committee(STAGES, skipping)) is None
    texts = Labels(("cat",), ((0,), (0, 1)), ((0.5, 0.5),) * 2, ((1, 1), (2, 2)))
    assert decision_of(Committee(STAGES, texts)) is None
