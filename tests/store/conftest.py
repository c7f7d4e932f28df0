"""What the tests of the store share: an empty store and one with a model, in small row groups."""

from __future__ import annotations

import pytest
from stored import IDS, X, Y, card

from wisecommittee.store import LogitStore
from wisecommittee.store.parquet import parts


@pytest.fixture
def small_groups(monkeypatch, tmp_path):
    """Several row groups and parts in a few rows; a cache of its own."""
    monkeypatch.setattr(parts, "ROW_GROUP", 5)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path) -> LogitStore:
    return LogitStore(tmp_path / "logits")


@pytest.fixture
def filled(store) -> LogitStore:
    store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    return store
