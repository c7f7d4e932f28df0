"""Decisions as values of strict JSON."""

from __future__ import annotations

import json

import numpy as np

import wisecommittee as wc
from wisecommittee import Committee, Outputs, Thresholds
from wisecommittee.runtime import Decisions

ROWS = np.array([[9.0, 0.0], [0.0, 0.1]])


def strict(decisions):
    return json.loads(json.dumps(decisions.to_json(), allow_nan=False))


def test_stages_count_from_1_and_classes_have_their_names():
    committee = Committee((("a",), ("b",)), Thresholds((0.9,)), cost="usd", costs={"a": 1.0, "b": 2.0})
    run = wc.Runtime(committee, {"a": lambda x: x, "b": lambda x: x}, classes=("cat", "dog"))
    decisions = run(ROWS)
    assert strict(decisions) == {
        "prediction": [0, 1],
        "class": ["cat", "dog"],
        "stage": [1, 2],
        "confidence": decisions.confidence.tolist(),
        "costs": {"usd": [1.0, 3.0]},
        "failed": [[], []],
    }


def test_answers_have_no_classes_and_failed_stages_are_named():
    def failing(x):
        raise OSError("away")

    members = {"a": {"kind": "answers"}, "b": {"kind": "answers"}}
    committee = Committee((("a",), ("b",)), Thresholds((0.5,)), "sure", members=members)
    answering = {"b": lambda x: Outputs(answers=["yes", "no"], scores={"sure": [0.75, 0.5]})}
    said = strict(wc.Runtime(committee, {"a": failing, **answering}, on_failure="escalate")(ROWS))
    assert (said["prediction"], said["class"], said["confidence"]) == (["yes", "no"], None, [0.75, 0.5])
    assert (said["stage"], said["failed"]) == ([2, 2], [[1], [1]])


def test_what_is_unknown_is_null():
    ran, at = np.ones((2, 1), bool), np.zeros(2, int)
    unknown = Decisions(np.array([-1, 1]), at, None, None, ran, ("cat", "dog"), {"usd": np.array([np.nan, 1])})
    said = strict(unknown)
    assert (said["prediction"], said["class"], said["confidence"]) == ([None, 1], [None, "dog"], None)
    assert (said["costs"], said["failed"]) == ({"usd": [None, 1.0]}, [[], []])
    assert strict(Decisions(np.array(["", "x"]), at, None, None, ran))["prediction"] == [None, "x"]
