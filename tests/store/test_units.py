"""units.parquet: the ids and labels that the models of a split share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored import IDS, RNG, C, X, Y, card, edited, folder, parquet, units_hash, with_checksum

from wisecommittee.errors import ContentError, StoreError
from wisecommittee.store import LogitStore

pytestmark = pytest.mark.usefixtures("small_groups")


UNITS = {
    "twice": (lambda: parquet({"unit_id": [IDS[1], *IDS[1:]], "label": Y}), "'u01' stands more than once"),
    "null id": (lambda: parquet({"unit_id": [None, *IDS[1:]], "label": Y}), "unit_id has 1 empty"),
    "null label": (lambda: parquet({"unit_id": IDS, "label": [None, *Y[1:].tolist()]}), "label has 1 empty"),
    "no label": (lambda: parquet({"unit_id": IDS}), "expected unit_id and label"),
    "float labels": (lambda: parquet({"unit_id": IDS, "label": Y + 0.5}), r"not what it was when a/0 was written"),
    "more": (lambda: parquet({"unit_id": IDS, "label": Y, "x": Y}), "'x' is not one"),
    "none": (lambda: parquet({"unit_id": pa.array([], pa.string()), "label": Y[:0]}), "no units"),
    "garbage": (lambda: b"PAR1 not", "not a readable list of units"),
    "fewer": (lambda: parquet({"unit_id": IDS[1:], "label": Y[1:]}), "a/0: 23 val units, the split has 22"),
    "others": (lambda: parquet({"unit_id": ["z", *IDS[1:]], "label": Y}), "not what it was when a/0 was written"),
    "another order": (lambda: parquet({"unit_id": IDS[::-1], "label": Y[::-1]}), "not what it was when a/0"),
    "another label": (lambda: parquet({"unit_id": IDS, "label": [(Y[0] + 1) % C, *Y[1:]]}), "not what it was when a/0"),
}


@pytest.mark.parametrize("case", UNITS)
def test_units_that_no_store_wrote(case, filled):
    make, message = UNITS[case]
    (filled.files.local / "val/units.parquet").write_bytes(make())
    problems = filled.verify()
    assert len(problems) == 1
    assert re.search(message, problems[0])
    for read in (
        filled.labels,
        lambda split: filled.outputs("a/0", split),
        lambda split: filled.scores("a/0", split, ""),
    ):
        with pytest.raises(StoreError, match=message):
            read("val")


def test_a_card_records_the_hash_of_its_units(filled):
    described = json.loads((folder(filled) / "card.json").read_text())
    assert described["contents"]["units"] == units_hash(IDS, Y)


@pytest.mark.parametrize("label", [-1, C, 99, 1 << 40])
def test_labels_outside_the_classes_are_refused_by_every_reader_though_hashes_fit(label, filled):
    labels = [label, *Y[1:]]
    filled.outputs("a/0", "val")  # a warm cache is no way around
    (filled.files.local / "val/units.parquet").write_bytes(parquet({"unit_id": IDS, "label": labels}))
    path = folder(filled) / "card.json"
    edit = edited(lambda d: d["contents"].update(units=units_hash(IDS, labels)))
    path.write_bytes(edit(path.read_bytes()))
    for store in (filled, LogitStore(filled.files.uri)):
        for read in (store.labels, store.unit_ids, lambda split: filled.outputs("a/0", split)):
            with pytest.raises(ContentError, match=rf"label {label} of row 0 .* outside the 4 classes"):
                read("val")
        assert re.search("outside the 4 classes", store.verify()[0])


def test_any_bit_of_the_units_that_matters_is_found(filled):
    """Whatever bit is flipped: the same ids and labels, or an error."""
    path = filled.files.local / "val/units.parquet"
    raw = path.read_bytes()
    changed = 0
    for at in RNG.choice(8 * len(raw), 300, replace=False):
        data = bytearray(raw)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        store = LogitStore(filled.files.uri)
        try:
            assert store.unit_ids("val") == IDS
            assert np.array_equal(store.labels("val"), Y)
        except StoreError:
            changed += 1
            assert store.verify()
    assert changed > 100


def test_any_bit_of_a_card_that_matters_is_found(filled):
    path = folder(filled) / "card.json"
    filled.update_card("val", filled.card("a/0", "val"), lambda c: dataclasses.replace(c, costs={"usd": 0.25}))
    raw, known = path.read_bytes(), filled.card("a/0", "val")
    for at in range(0, 8 * len(raw), 3):
        data = bytearray(raw)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        with contextlib.suppress(StoreError):
            assert filled.card("a/0", "val") == known


def test_a_card_edited_by_hand_is_refused_and_the_remedy_is_named(filled):
    path = folder(filled) / "card.json"
    path.write_text(path.read_text().replace('"a/0": 10', '"a/0": 11'))
    for action in (filled.card, filled.outputs):
        with pytest.raises(
            StoreError, match=r"card\.json: its checksum differs.*undo an edit.*import --costs.*replace=True"
        ):
            action("a/0", "val")
    assert len(filled.verify()) == 1
    path.write_text(path.read_text().replace('"a/0": 11', '"a/0": 10'))
    assert filled.verify() == []


@pytest.mark.parametrize("lacking", ["checksum", "units"])
def test_cards_without_hashes_are_refused_and_reported(lacking, filled):
    """Taking a hash away is no way to change what it covers."""
    path = folder(filled) / "card.json"
    data = json.loads(path.read_text())
    if lacking == "units":
        data["contents"].pop("units")
    data.pop("checksum")
    path.write_bytes(with_checksum(data) if lacking == "units" else json.dumps(data).encode())
    said = rf"card\.json: it has no {lacking if lacking == 'checksum' else 'hash of the units'}.*replace=True"
    for action in (filled.card, filled.outputs):
        with pytest.raises(StoreError, match=said):
            action("a/0", "val")
    (problem,) = filled.verify()
    assert re.search(said, problem)
    filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, replace=True)
    assert filled.verify() == []


def test_units_written_with_other_options_are_read(filled):
    path = filled.files.local / "val/units.parquet"
    table = pq.read_table(path)
    for options in ({"use_dictionary": True}, {"compression": "snappy"}, {"data_page_version": "2.0"}):
        path.write_bytes(parquet(table, **options))
        fresh = LogitStore(filled.files.uri)
        assert fresh.unit_ids("val") == IDS
        assert np.array_equal(fresh.labels("val"), Y)


def test_units_that_are_missing(filled):
    (filled.files.local / "val/units.parquet").unlink()
    for action in (lambda: filled.labels("val"), lambda: filled.outputs("a/0", "val")):
        with pytest.raises(StoreError, match=r"units\.parquet is missing; restore it"):
            action()
    with pytest.raises(StoreError, match="is missing"):
        filled.add(card("b"), "val", labels=Y, outputs=X)
    assert len(filled.verify()) == 1


def test_a_split_that_changed_elsewhere_is_read_again(filled):
    assert np.array_equal(filled.labels("val"), Y)
    other = LogitStore(filled.files.uri)
    other.remove("a/0")
    os.utime(filled.files.local, ns=(0, 0))
    other.add(card(), "val", labels=(Y[:9] + 1) % C, outputs=X[:9], unit_ids=IDS[:9])
    assert np.array_equal(filled.labels("val"), (Y[:9] + 1) % C)
    assert np.array_equal(filled.outputs("a/0", "val"), X[:9])
