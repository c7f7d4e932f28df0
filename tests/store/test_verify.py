"""verify and remove."""

from __future__ import annotations

import os

import numpy as np
import pytest
from stored import IDS, C, X, Y, card, folder, tree

from wisecommittee.store import LogitStore

pytestmark = pytest.mark.usefixtures("small_groups")


def test_verify_changes_nothing_and_finds_blocks_of_two_costs(filled):
    filled.add(card(), "test", labels=Y, outputs=X)
    before = tree(filled)
    assert filled.verify() == []
    assert tree(filled) == before
    assert filled.add(card(blocks={"a/0": 11}), "test", labels=Y, outputs=X) == "card updated"
    assert filled.verify() == ["block 'a/0' costs 11 in a/0 in test, 10 in a/0 in val; make them equal"]


def test_verify_of_nothing(store, filled, tmp_path):
    assert "there is no store at" in LogitStore(tmp_path / "none").verify()[0]
    (tmp_path / "empty").mkdir()
    assert "the store is empty" in LogitStore(tmp_path / "empty").verify()[0]
    os.remove(folder(filled) / "card.json")
    assert filled.verify() == ["a/0 in val: unfinished; extract or import it again, or `remove` it"]
    assert filled.splits() == ()
    assert filled.remove("a/0") == ("val",)


def test_remove(filled):
    filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    filled.add(card(), "test", labels=Y, outputs=X)
    before = tree(filled)
    assert filled.remove("a/00") == ()
    assert filled.remove("b", "test") == ()
    assert filled.remove("b", "rest") == ()
    assert tree(filled) == before
    assert filled.remove("a/0", "val") == ("val",)
    assert filled.models("val") == ("b",)
    assert np.array_equal(filled.outputs("b", "val"), X)
    assert filled.remove("a/0") == ("test",)
    assert filled.splits() == ("val",)
    assert filled.remove("b") == ("val",)
    assert tree(filled) == {}
    assert filled.splits() == ()
    # With the last model the units are free again.
    assert filled.add(card(), "val", labels=(Y[:5] + 1) % C, outputs=X[:5]) == "added"
