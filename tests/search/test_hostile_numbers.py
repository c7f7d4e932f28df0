"""No finite output may crash a kernel or leave the bounds of an array: subnormal, huge, equal and masked values."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path

import naive
import numpy as np
import pytest
from numba import config
from pools import MemoryStore
from processes import HUNG

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.threshold_vectors import carried_vectors
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.searches.search import search
from wisecommittee.store import LogitStore

LARGEST = np.finfo(np.float32).max
VALUES = np.array([0, -0.0, 1e-45, -1e-45, 1e-38, 1, -1, 88, -104, 1e30, -1e30, 3.3e38, -3.3e38, LARGEST, -LARGEST])


def hostile(rng, units, classes, kind):
    rows = rng.choice(VALUES, (units, classes)).astype(np.float32)
    rows[:3] = rows[:3, :1]  # equal in a row
    rows[3:6] = rows[3]  # equal rows
    if kind == "masked":
        rows[:, 1:] = -LARGEST
    if kind == "probabilities":
        rows = np.abs(rows) % 1
        rows[:, 0] = 1 - np.minimum(rows[:, 1:].sum(axis=1), 1)
        rows /= rows.sum(axis=1, keepdims=True)
    return rows


def searched(classes, kind, rng):
    """Every rule and confidence; with few and with many classes every way to search too."""
    units = 37
    stored = "probabilities" if kind == "probabilities" else "logits"
    models = [
        naive.Model(f"m/{k}", "m", k, {f"m/{k}": 1 + k}, hostile(rng, units, classes, kind), kind=stored)
        for k in range(3)
    ]
    store = MemoryStore(models, rng.integers(0, classes, units).tolist())
    for combine, confidence in itertools.product(("mean_logits", "mean_probs", "last"), sorted(CONFIDENCES)):
        options = {"combine": combine, "confidence": confidence, "levels": 5, "max_models": 3, "replicas": "all"}
        ways = ({}, {"exact": True}, {"shared_threshold": True}, {"method": "beam"}, {"method": "greedy"})
        for how in ways[: 1 if classes in (3, 9) else 3 if combine == "last" else 5]:
            found = search(store, threads=1, **options, **how)
            assert len(found)
            assert all(
                np.isfinite(carried_vectors([e.committee.policy], e.committee.confidence)[0]).all() for e in found
            )


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize("kind", ["any", "masked", "probabilities"])
@pytest.mark.parametrize("classes", [2, 3, 9, 130])
def test_hostile_outputs_are_searched(classes, kind):
    searched(classes, kind, np.random.default_rng(classes))


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="is this very run")
def test_no_kernel_leaves_its_arrays():
    """The same in plain Python, where an index out of bounds is an error."""
    code = """
import warnings, numpy as np, test_hostile_numbers as t
warnings.simplefilter("ignore")
for classes, kind in ((3, "any"), (9, "masked"), (9, "any"), (130, "any"), (3, "probabilities")):
    t.one(classes, kind)
"""
    folder = Path(__file__).parent
    path = os.pathsep.join([str(folder), str(folder.parent / "support"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def one(classes, kind):
    """A few searches that reach every kernel, small enough for plain Python."""
    rng = np.random.default_rng(classes)
    units = 13
    stored = "probabilities" if kind == "probabilities" else "logits"
    models = [
        naive.Model(f"m/{k}", "m", k, {f"m/{k}": 1 + k}, hostile(rng, units, classes, kind), kind=stored)
        for k in range(2)
    ]
    store = MemoryStore(models, rng.integers(0, classes, units).tolist())
    for combine, confidence in itertools.product(("mean_logits", "mean_probs"), ("max_prob", "neg_entropy")):
        options = {"combine": combine, "confidence": confidence, "levels": 3, "max_models": 2, "replicas": "all"}
        for how in ({"exact": True}, {"shared_threshold": True}, {"method": "beam"}):
            assert len(search(store, threads=1, **options, **how))


@pytest.mark.parametrize("value", [3.3e38, -3.3e38, 1e-45])
@pytest.mark.parametrize("exact", [False, True])
def test_a_calibrated_search_with_one_huge_logit(tmp_path, value, exact):
    """The division by a temperature below 1 overflows; what comes out stays finite."""
    store, rng = LogitStore(tmp_path / "S"), np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    for k, name in enumerate("abc"):
        logits = rng.standard_normal((200, 5)) * 0.3
        logits[np.arange(200), labels] += (0.8 + 0.5 * k) * rng.random(200)
        logits = logits.astype(np.float32)
        if k == 0:
            logits[3, labels[3]] = value
        store.add(ModelCard(name, blocks={name: 10**k}), "val", outputs=logits, labels=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = calibrate(store, ["*"], force=True)
    assert all(fit.calibration.parameters["temperature"] < 1 for fit in fits[1:])
    found = search(store, calibrated=True, exact=exact, max_models=3)
    assert found.best().quality > 0.8


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_calibrated_rows_are_finite(method):
    parameters = {
        "temperature": {"temperature": 1e-3},
        "platt": {"slope": 1e30, "intercept": -1e30},
        "isotonic": {"x": [-1e300, 1e300], "y": [0.0, 1.0], "floor": 1e-9},
    }[method]
    rows = hostile(np.random.default_rng(0), 200, 5, "any")
    out = Calibration(method, parameters, "val", "").rows(rows)
    assert np.isfinite(out).all()
    if method == "temperature":
        np.testing.assert_allclose(out, np.clip(rows.astype(np.float64) * 1e3, -LARGEST, LARGEST), rtol=2e-7)
