"""Whether answers are right as often as asked on units that nobody has looked at; benchmarks/abstention.py for other
stores."""

from __future__ import annotations

import numpy as np
import pytest

from wisecommittee import LogitStore, ModelCard, Query, Target
from wisecommittee.searches.selection import Selection

UNITS, OTHERS, DRAWS, CLASSES = 600, 5400, 60, 6


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Models of rising accuracy and cost that agree on which units are easy; the cheap one is far too sure."""
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(11)
    labels, ease = rng.integers(0, CLASSES, UNITS + OTHERS), rng.gamma(1.5, 1.0, UNITS + OTHERS)
    store = LogitStore(tmp_path / "logits")
    for m, hotter in enumerate((6.0, 1.0, 0.5)):
        logits = rng.normal(size=(len(labels), CLASSES)) + (1.2 + 0.5 * m) * ease[:, None] * np.eye(CLASSES)[labels]
        card = ModelCard(f"m{m}", blocks={f"m{m}": 10 * 3**m})
        store.add(card, "val", outputs=(hotter * logits).astype(np.float32), labels=labels)
    return store


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"answered_accuracy": 0.95}, {"answered_accuracy": 0.9}, {"abstain_cost": 0.15}])
def test_answers_are_right_as_often_as_asked_and_intervals_hold(store, asked):
    from benchmarks.abstention import simulate

    held = simulate(
        store,
        Query(max_models=3, levels=20),
        Target("target_cost", 40),
        UNITS,
        range(DRAWS),
        Selection(folds=10, **asked),
    )
    print(f"\n{asked}: {held}")
    by_chance = 2 * np.sqrt(0.95 * 0.05 / DRAWS)
    assert held.found == DRAWS
    assert min(held.accuracy_covered, held.answered_covered) >= 0.93 - by_chance
    assert abs(held.accuracy - held.expected_accuracy) <= 0.003 + 2 * held.error
    assert abs(held.answered - held.expected_answered) <= 0.01
    if "answered_accuracy" in asked:
        assert held.accuracy >= asked["answered_accuracy"] - 2 * held.error
        assert held.expected_accuracy >= asked["answered_accuracy"]
