"""Stores of models of which some committee is about as accurate as the best model and cheaper."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wisecommittee import LogitStore, ModelCard

COSTS = {"small": 10, "middle": 40, "large": 160}
SHARPNESS = {"small": 1.6, "middle": 2.1, "large": 2.6}


def draw(units: int, seed: int, classes: int = 6) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels, and logits of each model, which agree on which units are easy."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, units)
    ease = rng.gamma(3.0, 0.6, units)
    outputs = {}
    for model, sharpness in SHARPNESS.items():
        logits = rng.normal(size=(units, classes)).astype(np.float32)
        logits[np.arange(units), labels] += (ease * sharpness).astype(np.float32)
        outputs[model] = logits
    return labels, outputs


def fill(store: LogitStore, split: str, labels: np.ndarray, outputs: dict[str, np.ndarray], **more) -> None:
    for model, logits in outputs.items():
        card = ModelCard(model, blocks={model: COSTS[model]}, costs={"latency_ms": COSTS[model] ** 0.5})
        store.add(card, split, labels=labels, outputs=logits, **more)


def drawn_store(path: Path, units: int = 600, seed: int = 0, splits: tuple[str, ...] = ("val",)) -> LogitStore:
    store = LogitStore(path)
    for number, split in enumerate(splits):
        fill(store, split, *draw(units, seed + 100 * number))
    return store
