"""Divisions of a split that are run again, or cut off, or met by others. Kills are in test_store_kill.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import StoreError, WiseCommitteeError
from wisecommittee.store import LogitStore, splitting
from wisecommittee.store.splitting import split_store

N, C = 60, 4
RNG = np.random.default_rng(0)
Y = RNG.integers(0, C, N)
X = {name: RNG.normal(size=(N, C)).astype(np.float32) for name in "ab"}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "store"


def pool(folder: Path, *names: str) -> LogitStore:
    store = LogitStore(folder)
    for name in names:
        store.add(ModelCard(name, blocks={name: 1}), "val", labels=Y, outputs=X[name])
    return store


@pytest.mark.parametrize("into", [{"val": 0.5, "test": 0.5}, {"one": 1, "two": 3}])
@pytest.mark.parametrize("named", [False, True])
def test_a_division_that_is_done_is_not_done_again(folder, into, named):
    store = pool(folder, "a", "b")
    source = "val" if named else None
    first = split_store(store, into, seed=4, source=source)
    parts = {name: (store.unit_ids(name), store.labels(name).tolist()) for name in into}
    again = LogitStore(folder)
    assert split_store(again, {name: 10 * share for name, share in into.items()}, seed=4, source=source) == first
    assert {name: (again.unit_ids(name), again.labels(name).tolist()) for name in into} == parts
    for other in ({"into": into, "seed": 5}, {"into": {**into, list(into)[-1]: 0.7}, "seed": 4}):
        with pytest.raises(WiseCommitteeError, match=r"exists already|say which to divide"):
            split_store(again, other["into"], seed=other["seed"], source=source)
    name = next(iter(into))
    ids, labels = parts[name]
    again.add(ModelCard("c", blocks={"c": 1}), name, labels=labels, unit_ids=ids, outputs=3 * np.eye(C)[labels])
    assert split_store(again, into, seed=4, source=source) == first


def test_models_added_to_the_source_since_are_not_passed_over(folder):
    store = pool(folder, "a")
    split_store(store, {"one": 1, "two": 1})
    pool(folder, "b")
    with pytest.raises(StoreError, match="'one' exists already"):
        split_store(store, {"one": 1, "two": 1}, source="val")


def test_a_split_made_by_others_meanwhile_is_not_replaced(folder, monkeypatch):
    store = pool(folder, "a")
    real = splitting._complete

    def complete(*arguments):
        if (folder / ".dividing").exists() and not store.has_split("test"):
            store.add(ModelCard("c", blocks={"c": 1}), "test", labels=[0, 1], outputs=3 * np.eye(2, C))
        real(*arguments)

    monkeypatch.setattr(splitting, "_complete", complete)
    with pytest.raises(StoreError, match="'test' was made by others"):
        split_store(store, {"val": 0.5, "test": 0.5})
    monkeypatch.undo()
    assert store.models("test") == ("c",)
    assert len(store.unit_ids("val")) == N
    store.remove("c")
    assert split_store(store, {"val": 0.5, "test": 0.5}, source="val") == {"val": N // 2, "test": N // 2}
