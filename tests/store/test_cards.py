"""Cards: their JSON, their checksum, and several processes that change one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading

import numpy as np
import pytest
from stored import IDS, C, X, Y, card, edited, folder, tree

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import BusyError, StoreError
from wisecommittee.store import LogitStore

pytestmark = pytest.mark.usefixtures("small_groups")


# Cards

CARDS = {
    "not JSON": lambda text: b"no",
    "cut": lambda text: text[:-20],
    "empty": lambda text: b"",
    "binary": lambda text: b"\xff\xfe\x00",
    "deep": lambda text: b"[" * 100_000,
    "deep meta": edited(lambda d: d.update(meta=json.loads('{"a":' * 900 + "1" + "}" * 900))),
    "huge": lambda text: text + b" " * (17 << 20),
    "a list": lambda text: b"[]",
    "version": edited(lambda d: d.update(version=2)),
    "no version": edited(lambda d: d.pop("version")),
    "unknown field": edited(lambda d: d.update(surprise=1)),
    "unknown content": edited(lambda d: d["contents"].update(surprise=1)),
    "no contents": edited(lambda d: d.pop("contents")),
    "contents": edited(lambda d: d.update(contents=[1])),
    "other model": edited(lambda d: d.update(model="b/0")),
    "negative cost": edited(lambda d: d.update(blocks={"a": -3})),
    "NaN": lambda text: text.replace(b'"a/0": 10', b'"a/0": NaN'),
    "text cost": edited(lambda d: d.update(costs={"usd": "1"})),
    "kind": edited(lambda d: d.update(kind="guesses")),
    "answers": edited(lambda d: d.update(kind="answers")),
    "replica": edited(lambda d: d.update(replica=-1)),
    "replica text": edited(lambda d: d.update(replica="0")),
    "size": edited(lambda d: d.update(input_size="32")),
    "rows": edited(lambda d: d["contents"].update(rows=7)),
    "rows text": edited(lambda d: d["contents"].update(rows="23")),
    "rows infinite": lambda text: text.replace(b'"rows": 23', b'"rows": 1e999'),
    "rows huge": edited(lambda d: d["contents"].update(rows=10**30)),
    "classes": edited(lambda d: d["contents"].update(classes=-4)),
    "no classes": edited(lambda d: d["contents"].update(classes=None)),
    "dtype": edited(lambda d: d["contents"].update(dtype="object")),
    "content": edited(lambda d: d["contents"].update(content="../../x")),
    "scores": edited(lambda d: d["contents"].update(scores="ab")),
    "no parts": edited(lambda d: d["contents"].update(parts=[], rows=0)),
    "parts": edited(lambda d: d["contents"].update(parts="part-0-0.parquet")),
    "part type": edited(lambda d: d["contents"]["parts"].__setitem__(0, 5)),
    "part twice": edited(lambda d: d["contents"].update(parts=[d["contents"]["parts"][0]] * 2, rows=40)),
    "part field": edited(lambda d: d["contents"]["parts"][0].update(more=1)),
    "part missing field": edited(lambda d: d["contents"]["parts"][0].pop("sha256")),
    "traversal": edited(lambda d: d["contents"]["parts"][0].update(file="../../../../etc/passwd")),
    "absolute": edited(lambda d: d["contents"]["parts"][0].update(file="/etc/passwd")),
    "nested": edited(lambda d: d["contents"]["parts"][0].update(file="../model=b/part-0-0.parquet")),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_no_store_wrote(case, filled):
    path = folder(filled) / "card.json"
    path.write_bytes(CARDS[case](path.read_bytes()))
    before = tree(filled)
    for action in (filled.card, filled.outputs):
        with pytest.raises(StoreError, match=r"card\.json: .*(no store writes|a/0)") as caught:
            action("a/0", "val")
        assert len(str(caught.value)) < 1_000
    with pytest.raises(StoreError, match=r"card\.json"):
        filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    with pytest.raises(StoreError, match=r"--replace|no store writes that, restore it"):
        filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert len(filled.verify()) == 1
    assert tree(filled) == before
    assert filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, replace=True) == "added"
    assert filled.verify() == []
    assert np.array_equal(filled.outputs("a/0", "val"), X)


def test_a_broken_model_can_be_removed(filled):
    filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    (folder(filled) / "card.json").write_text("?")
    assert filled.remove("a/0") == ("val",)
    assert filled.verify() == []
    assert filled.models("val") == ("b",)


def test_a_card_of_one_store_can_be_given_to_another(filled, tmp_path):
    stored, other = filled.card("a/0", "val"), LogitStore(tmp_path / "other")
    assert isinstance(stored, StoredCard)
    assert stored.without_contents() == card()
    assert other.add(stored, "val", labels=Y, outputs=X, unit_ids=IDS) == "added"
    assert other.card("a/0", "val") == stored


# Cards that several processes change


def test_a_calibration_of_outputs_that_were_replaced_is_not_stored(filled):
    read = filled.card("a/0", "val")
    assert filled.update_card("val", read, lambda c: c) == "unchanged"
    other = LogitStore(filled.files.uri)
    other.add(card(), "val", labels=Y, outputs=X + 1, unit_ids=IDS, replace=True)
    before = tree(filled)
    change = pytest.raises(StoreError, match="a/0 in val was replaced meanwhile; its card stays as it is, run again")
    with change:
        filled.update_card("val", read, lambda c: dataclasses.replace(c, costs={"usd": 1}))
    assert tree(filled) == before
    assert filled.verify() == []
    other.remove("a/0")
    with pytest.raises(StoreError, match="a/0 in val was removed meanwhile"):
        filled.update_card("val", read, lambda c: dataclasses.replace(c, costs={"usd": 1}))
    assert filled.splits() == ()


def test_changes_of_one_card_by_several_all_remain(filled):
    read = filled.card("a/0", "val")
    ready = threading.Barrier(4)

    def change(i: int) -> None:
        own = LogitStore(filled.files.uri)
        ready.wait()
        for k in range(5):
            while True:
                with contextlib.suppress(BusyError):  # one at a time
                    added = {f"cost{i}-{k}": 1.0}
                    own.update_card("val", read, lambda c: dataclasses.replace(c, costs={**c.costs, **added}))  # noqa: B023
                    break

    threads = [threading.Thread(target=change, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(filled.card("a/0", "val").costs) == 20
    assert filled.verify() == []


def test_a_writer_keeps_its_model_from_being_changed(filled):
    read = filled.card("a/0", "val")
    with filled.writer(card(), "val", classes=C, replace=True) as writer:
        writer.append(IDS, Y, X + 1)
        with pytest.raises(BusyError, match="a/0 in val: another process is writing it"):
            filled.update_card("val", read, lambda c: dataclasses.replace(c, costs={"usd": 1}))
        writer.commit()
    assert np.array_equal(filled.outputs("a/0", "val"), X + 1)
