"""Three models that are too sure of themselves or not sure enough, and what calibration means, as loops."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import naive
import numpy as np

from wisecommittee.committees.calibration import FOLDS
from wisecommittee.committees.cards import ModelCard
from wisecommittee.store import LogitStore

N, C = 300, 4
SHARP = {"a/0": 0.5, "b/0": 2.0, "c/0": 1.0}  # how much too sure of itself each model is


def probabilities(logits):
    return np.array([naive.softmax(row) for row in logits], np.float32)


def three_models(folder: Path) -> LogitStore:
    """A store with logits of a/0 and b/0 and probabilities (with zeros) of c/0, in val and test."""
    made = LogitStore(folder)
    rng = np.random.default_rng(5)
    for split in ("val", "test"):
        labels = rng.integers(0, C, N)
        for k, (model, sharpness) in enumerate(SHARP.items()):
            logits = sharpness * (rng.normal(size=(N, C)) + (1.2 + 0.5 * k) * np.eye(C)[labels])
            card = ModelCard(model, blocks={model: 10 * 3**k}, kind="probabilities" if k == 2 else "logits")
            outputs = logits.astype(np.float32)
            if k == 2:
                outputs = probabilities(logits * 3)
                outputs[outputs < 1e-6] = 0
                outputs /= outputs.sum(axis=1, keepdims=True)
            made.add(card, split, labels=labels, outputs=outputs, unit_ids=[f"{split}-{i}" for i in range(N)])
    return made


def logits_of(store, model, split):
    rows = store.outputs(model, split)
    if store.card(model, split).kind == "probabilities":
        rows = np.array([[naive.floored_log(p) for p in row] for row in rows])
    return rows


def loss(rows, labels, temperature=1.0):
    return math.fsum(
        -math.log(naive.softmax([float(v) / temperature for v in row])[y]) for row, y in zip(rows, labels, strict=True)
    ) / len(rows)


def ece_by_hand(confidences, right, bins=15):
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidences) if b / bins < c <= (b + 1) / bins]
        if inside:
            accuracy = sum(bool(right[i]) for i in inside) / len(inside)
            confidence = sum(float(confidences[i]) for i in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


def calibrated_row(row, method, p):
    """One row [C] by its definition: floats in, floats out."""
    row = [float(v) for v in row]
    if method == "temperature":
        return [v / p["temperature"] for v in row]
    best = row.index(max(row))
    others = [v for c, v in enumerate(row) if c != best]
    peak = max(others)
    rest = peak + math.log(math.fsum(math.exp(v - peak) for v in others))
    s = row[best] - rest
    if method == "platt":
        s = p["slope"] * s + p["intercept"]
    else:
        q = min(max(float(np.interp(s, p["x"], p["y"])), p["floor"]), 1 - p["floor"])
        s = math.log(q / (1 - q))
    row[best] = max(rest + s, peak + 1e-5 * max(1, abs(peak)))
    return row


def fold_of(unit):
    return int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=8).digest(), "little") % FOLDS


def cross_fitted(store, model, split="val"):
    """float32 [N, C] by loops: every unit with the parameters of its fold."""
    c = store.card(model, split).calibration
    rows = logits_of(store, model, split)
    units = store.unit_ids(split)
    return np.array(
        [calibrated_row(r, c.method, c.folds[fold_of(u)]) for r, u in zip(rows, units, strict=True)], np.float32
    )


def naive_pool(store, split, calibrated):
    models = []
    for k, name in enumerate(SHARP):
        card = store.card(name, split)
        kind, outputs = ("logits", calibrated[name]) if calibrated else (card.kind, store.outputs(name, split))
        models.append(naive.Model(name, name[0], 0, {name: 10 * 3**k}, outputs, kind))
    return models
