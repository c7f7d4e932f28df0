"""A store of linear models, and a server of a cascade of the same models."""

from __future__ import annotations

import pytest
from linear_members import COSTS, IDS, NAMES, TRUTH, WEIGHTS, X, served
from servers import running

from wisecommittee import LogitStore, ModelCard


@pytest.fixture(scope="package")
def store(tmp_path_factory, shared_cache):
    store = LogitStore(tmp_path_factory.mktemp("served") / "logits")
    labels = (X @ TRUTH).argmax(axis=1)
    for name, weights in WEIGHTS.items():
        card = ModelCard(name, blocks={name: COSTS[name]}, costs={"usd": COSTS[name] / 1e4}, class_names=NAMES)
        store.add(card, "val", labels=labels, outputs=X @ weights, unit_ids=IDS)
    return store


@pytest.fixture(scope="package")
def server():
    """A server that several tests use."""
    with running(served(), max_body_mb=0.2, max_wait_ms=1) as at_work:
        yield at_work
