"""Outputs on their way into a store: -inf of classes that do not exist, probabilities of half precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import ContentError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.store import LogitStore

N, C = 300, 5


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    return LogitStore(tmp_path / "S")


def choices(seed):
    """Questions with three to five choices."""
    rng = np.random.default_rng(seed)
    many = np.random.default_rng(0).integers(3, C + 1, N)
    labels = np.random.default_rng(1).integers(0, many)
    logits = rng.standard_normal((N, C))
    logits[np.arange(N), labels] += 1
    logits[np.arange(C) >= many[:, None]] = -np.inf
    return logits.astype(np.float32), labels


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_choices_that_do_not_exist_have_no_probability(store, dtype):
    (a, labels), (b, _) = choices(2), choices(3)
    b = np.where(np.isinf(b), np.float32(9), b)  # knows nothing of it
    rows, cells = np.isinf(a).any(axis=1).sum(), np.isinf(a).sum()
    with pytest.warns(UserWarning, match=f"a in val: {cells} logits of -inf in {rows} rows of 300"):
        assert store.add(ModelCard("a", blocks={"a": 1}), "val", outputs=a, labels=labels, dtype=dtype) == "added"
    store.add(ModelCard("b", blocks={"b": 2}), "val", outputs=b, labels=labels, dtype=dtype)
    with pytest.warns(UserWarning, match="-inf"):
        assert store.add(ModelCard("a", blocks={"a": 1}), "val", outputs=a, labels=labels, dtype=dtype) == "unchanged"
    stored = store.outputs("a", "val")
    assert (stored == np.finfo(dtype).min).sum() == np.isinf(a).sum()
    a, b = (z.astype(dtype).astype(np.float64) for z in (a, b))
    p = softmax(a, axis=1)
    mean = softmax((a + b) / 2, axis=1)
    for confidence, of in (
        ("max_prob", lambda p: p.max(axis=1)),
        ("neg_entropy", lambda p: np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)),
    ):
        threshold = float(np.float32(np.median(of(p)) + 1e-5))
        found = evaluate(Committee((("a",), ("b",)), Thresholds((threshold,)), confidence), store, "val")
        leaves = of(p) >= threshold
        said = np.where(leaves, p.argmax(axis=1), mean.argmax(axis=1))
        assert found.exit_ratios[0] == leaves.mean()
        assert found.correct == (said == labels).sum()


def test_half_precision_of_probabilities_is_mended(store):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, N)
    logits = torch.from_numpy(rng.standard_normal((N, 40)) * 2)
    rounded = torch.softmax(logits, dim=1).to(torch.bfloat16).float().numpy()
    miss = np.abs(rounded.sum(axis=1, dtype=np.float64) - 1)
    assert 1e-3 < miss.max() < 0.02
    card = ModelCard("a", kind="probabilities")
    for done in ("added", "unchanged"):
        rows = (miss > 1e-3).sum()
        with pytest.warns(UserWarning, match=rf"a in val: {rows} rows .* miss 1 .* {miss.max():.2g} at most"):
            assert store.add(card, "val", outputs=rounded, labels=labels) == done
    stored = store.outputs("a", "val")
    np.testing.assert_allclose(stored.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(stored, rounded / rounded.sum(axis=1, keepdims=True), rtol=1e-6)
    # What is stored goes in as it is.
    assert store.add(card, "val", outputs=stored.copy(), labels=labels) == "unchanged"
    with pytest.raises(ContentError, match=r"sums to .*is mended") as refused:
        store.add(ModelCard("b", kind="probabilities"), "val", outputs=rounded * 1.05, labels=labels)
    assert "--logits" not in str(refused.value)
    with pytest.warns(UserWarning, match=r"declared as logits.*or nearly so.*probabilities="):
        store.add(ModelCard("c"), "val", outputs=rounded, labels=labels)
