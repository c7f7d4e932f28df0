"""Committees of every kind of policy with members computed row by row, for runtimes and their queues."""

from __future__ import annotations

import asyncio

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.adaptive import Adaptive
from wisecommittee.committees.policies.agreement import Agreement
from wisecommittee.committees.policies.deferral import Deferral
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.committees.policies.router import Router
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policies.window import Window
from wisecommittee.runtime import Member

SINGLE = (("a",), ("b",), ("c",))
ALWAYS = -3.4028234663852886e38
FUNCTIONS = {
    "a": lambda x: x[..., :3],
    "b": lambda x: 2 * x[..., 1:4],
    "c": lambda x: 3 * x[..., 2:5],
}
SOURCE = {"knots": (-1.0, 0.0, 2.0), "labels": (0, 2)}


def _gains(members):
    width = 7 * members + 3 * (members * (members - 1) // 2)
    return tuple(np.random.default_rng(members).normal(0, 0.2, 1 + width).tolist())


def _deferral(answering):
    return Deferral((1, 2, 3), (SOURCE,) * 3, (_gains(1), _gains(2)), (0.0, -0.1), answering)


def _state(stages, ahead):
    length = 9 + 2 * len(stages)
    values = tuple({"stage": k, "value": (start, *(0.0,) * (length - 1))} for k, start in ahead)
    votes = ((0.5, 0.3, *(0.0,) * 5),) * len(stages)
    weights = (1.0,) * len(stages)
    return {
        "stages": stages,
        "bias": (0.1, 0.0, -0.1),
        "votes": votes,
        "weights": weights,
        "stopping": (0.0,) * 9,
        "next": values,
    }


ADAPTIVE = Adaptive(
    (0, 1, 2),
    (),
    ({"score": (), "rank": ()},) * 3,
    (_state((0,), ((1, 0.7), (2, 0.8))), _state((0, 1), ((2, 0.9),)), _state((0, 2), ()), _state((0, 1, 2), ())),
)
ROUTER = Router(
    ({"name": "size", "center": 0.0, "scale": 1.0, "low": -3.0, "high": 3.0, "knots": ()},),
    (
        {"stages": (0, 2), "thresholds": (0.6,), "start": 0.0, "weights": (1.0,)},
        {"stages": (1,), "thresholds": (), "start": 0.5, "weights": (0.0,)},
        {"stages": (2, 1), "thresholds": (0.7,), "start": 0.0, "weights": (-1.0,)},
    ),
)
VOTES = ((0.8,), (0.9, ALWAYS))
PARTS = (
    Committee((("a",), ("b",)), Thresholds((0.8,))),
    Committee((("a",), ("c",)), Thresholds((0.6,))),
)
COMMITTEES = {
    "thresholds": Committee(SINGLE, Thresholds((0.7, 0.8))),
    "together": Committee((("a",), ("b", "c")), Thresholds((0.7,))),
    "window": Committee(SINGLE, Window((0.2, 0.1), (0.7, 0.8), 1)),
    "agreement": Committee(SINGLE, Agreement(VOTES, ("c", "b", "a"))),
    "labels": Committee(SINGLE, Labels((0, 1), ((0,), (0, 2)), ((0.6, 0.8, None), (0.9,) * 3), ((1, 2, 2), (1,) * 3))),
    "router": Committee(SINGLE, ROUTER),
    "mixing": mixture(
        Committee((("a",), ("b",)), Thresholds((0.8,))), Committee((("a",), ("c",)), Thresholds((0.6,))), 0.4
    ),
    "abstaining": Committee(SINGLE, Abstaining(Thresholds((0.7, 0.8)), (0.75, 0.85, 0.6))),
    "deferral": Committee(SINGLE, _deferral({"kind": "rule"})),
    "weights": Committee(
        SINGLE, _deferral({"kind": "weights", "mean": "logits", "weights": ((1.0,), (1.0, 2.0), (1.0, 2.0, 1.0))})
    ),
    "adaptive": Committee(SINGLE, ADAPTIVE),
    "unsure adaptive": Committee(SINGLE, Abstaining(ADAPTIVE, (0.8, 0.8, 0.6))),
}


def units(n, seed=0):
    """Inputs float64 [n, 5], unit ids and features of n units."""
    rng = np.random.default_rng(seed)
    ids = [f"u{i}" for i in range(n)]
    return rng.normal(0, 1.5, (n, 5)), ids, {"size": rng.normal(size=n)}


def slow(name, seconds=lambda: 0.0, each=False, **options):
    """A member that is a coroutine function: sleeps, then gives its outputs."""

    async def call(x):
        await asyncio.sleep(seconds())
        return FUNCTIONS[name](x)

    return Member(call, each=each, **options)


def same(decisions, expected):
    """Whether both hold the same decisions, bit for bit."""
    for name in ("prediction", "stage", "confidence", "probabilities", "ran", "failed"):
        np.testing.assert_array_equal(getattr(decisions, name), getattr(expected, name), err_msg=name)
    assert decisions.costs.keys() == expected.costs.keys()
