"""Splits like those of the imported store (tests/conftest.py), as streams of units after the choice."""

from __future__ import annotations

import numpy as np

from wisecommittee import LogitStore, ModelCard

CLASSES = 5


def add_stream(store: LogitStore, split: str, units: int, *, sharpness=1.0, seed=7, labelled=True) -> np.ndarray:
    """Add a split and return its labels; sharpness : factor of the logits, above 1 for surer models."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, units)
    for k, (name, flops) in enumerate((("small", 100), ("mid", 400), ("large", 1600))):
        logits = rng.normal(size=(units, CLASSES)) + (1.2 + 0.7 * k) * np.eye(CLASSES)[labels]
        card = ModelCard(name, blocks={name: flops})
        given = labels if labelled else np.full(units, -1)
        store.add(card, split, labels=given, outputs=(sharpness * logits).astype(np.float32))
    return labels
