"""Linear models as functions, and a cascade of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import wisecommittee as wc
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.serving.served import Served

INPUTS, CLASSES, UNITS = 8, 3, 120
NAMES = ("bee", "cow & <calf>", "dog")
COSTS = {"a": 10, "b": 30, "c": 90}
RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(INPUTS, CLASSES)).astype(np.float32)
NOISE = {"a": 2.0, "b": 1.0, "c": 0.3}
WEIGHTS = {name: TRUTH + np.float32(noise) * RNG.normal(size=TRUTH.shape).astype(np.float32)
           for name, noise in NOISE.items()}  # fmt: skip
X = RNG.normal(size=(UNITS, INPUTS)).astype(np.float32)
IDS = [f"u{unit}" for unit in range(UNITS)]
MEMBERS = {name: {"kind": "logits", "blocks": {name: cost}} for name, cost in COSTS.items()}
STAGES = (("a",), ("b",), ("c",))
CASCADE = Committee(STAGES, Thresholds((0.9, 0.8)), members=MEMBERS)


def functions(**others: Any) -> dict[str, Any]:
    """{model: function from float32 [n, INPUTS] to logits}, some of them exchanged."""
    return {name: lambda x, w=weights: x @ w for name, weights in WEIGHTS.items()} | others


def served(committee: Committee = CASCADE, **others: Any) -> Served:
    """A committee of these models, ready to be served. others : members in place of some."""
    given = {name: call for name, call in functions(**others).items() if name in committee.models}
    return Served.of_runtime(wc.Runtime(committee, given, classes=NAMES), (INPUTS,))
