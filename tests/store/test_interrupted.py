"""Writers that were interrupted (what kill -9 does is in test_store_kill.py)."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from stored import IDS, C, N, X, Y, card, failing, folder, naive_content, part_paths, with_value

from wisecommittee.errors import AlignmentError, StoreError
from wisecommittee.store.columns import StoredModel

pytestmark = pytest.mark.usefixtures("small_groups")


class Stop(Exception):
    pass


@contextlib.contextmanager
def stopped_at(function: str, count: int, monkeypatch):
    with monkeypatch.context() as patch:
        failing(function, count, Stop(), patch)
        with pytest.raises(Stop):
            yield


def test_an_import_continues_after_whole_parts(store, monkeypatch):
    with stopped_at("replace", 4, monkeypatch):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    (left,) = part_paths(store)
    inode = left.stat().st_ino
    assert store.splits() == ()
    assert store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS) == "added"
    assert left.stat().st_ino == inode
    assert np.array_equal(store.outputs("a/0", "val"), X)
    assert store.card("a/0", "val").contents.content == naive_content(IDS, (X, "<f4"))


@pytest.mark.parametrize("change", ["outputs", "labels", "order", "shorter", "dtype", "card"])
def test_an_import_of_something_else_does_not_continue(store, monkeypatch, change):
    """The rows a killed import left belong to it, not to the next file of that name."""
    with stopped_at("replace", 4, monkeypatch):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    x, y, ids, options = X, Y, IDS, {}
    if change == "outputs":
        x = with_value(5.0, 2)
    elif change == "labels":
        y = np.where(np.arange(N) == 2, (Y + 1) % C, Y)
    elif change == "order":
        x, y, ids = X[::-1], Y[::-1], IDS[::-1]
    elif change == "shorter":
        x, y, ids = X[:7], Y[:7], IDS[:7]
    elif change == "dtype":
        options = {"dtype": "float16"}
    new = card(meta={"new": 1}) if change == "card" else card()
    store.add(new, "val", labels=y, outputs=x, unit_ids=ids, **options)
    stored = x.astype(options.get("dtype", "float32")).astype(np.float32)
    assert np.array_equal(store.outputs("a/0", "val"), stored)
    assert np.array_equal(store.labels("val"), y)
    assert store.verify() == []


def test_units_without_a_model_bind_nobody(store, monkeypatch):
    """Stopped between units.parquet and the card: the split does not exist yet."""
    with stopped_at("replace", 8, monkeypatch):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert (store.files.local / "val/units.parquet").exists()
    assert not (folder(store) / "card.json").exists()
    assert store.splits() == ()
    assert store.add(card("b"), "val", labels=(Y + 1) % C, outputs=X, unit_ids=IDS) == "added"
    with pytest.raises(AlignmentError, match="the split says"):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert store.add(card(), "val", labels=(Y + 1) % C, outputs=X, unit_ids=IDS) == "added"
    assert store.verify() == []


def test_a_reader_of_a_replaced_model_is_told_so(filled, monkeypatch):
    old = filled.card("a/0", "val")
    filled.add(card(), "val", labels=Y, outputs=X + 1, unit_ids=IDS, replace=True)
    with pytest.raises(StoreError, match="a/0 in val was replaced while it was read; run again"):
        list(StoredModel(filled, old, "val").row_groups())
