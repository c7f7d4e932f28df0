"""Files that would fill the memory or run code."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored import IDS, C, N, X, card, folder, forge, parquet, part_paths, units_hash, vectors

from wisecommittee.errors import ContentError, StoreError
from wisecommittee.store import LogitStore, cache
from wisecommittee.store.parquet import parts, row_groups

pytestmark = pytest.mark.usefixtures("small_groups")


MILLION = "x" * (1 << 20)


def wide(classes: int) -> pa.Array:
    zeros = pa.array(np.zeros(classes * N, np.float32))
    return pa.FixedSizeListArray.from_arrays(zeros, type=pa.list_(pa.field("element", pa.float32(), False), classes))


def swollen() -> bytes:
    """A valid part, but the first page of its outputs claims to unpack to a megabyte."""
    raw = bytearray(parquet({"unit_id": IDS, "outputs": wide(200)}, use_dictionary=False))
    at = pq.read_metadata(pa.BufferReader(bytes(raw))).row_group(0).column(1).data_page_offset
    assert raw[at : at + 3] == b"\x15\x00\x15"  # page type 0, then the unpacked size
    assert raw[at + 3] & 0x80
    assert raw[at + 4] & 0x80
    raw[at + 3], raw[at + 4], raw[at + 5] = 0xFE, 0xFF, 0x7F
    return bytes(raw)


def shared_prefixes() -> bytes:
    texts = {"unit_id": [f"{MILLION}{i}" for i in range(300)], "label": [0] * 300}
    return parquet(texts, column_encoding={"unit_id": "DELTA_BYTE_ARRAY"}, data_page_size=1 << 30)


BOMBS = {
    "zeros": lambda: parquet({"unit_id": IDS, "outputs": wide(400_000)}),
    "ids": lambda: parquet({"unit_id": [MILLION] * 300, "outputs": wide(4)[:1].take([0] * 300)}),
    "ids in a dictionary": lambda: parquet(
        {"unit_id": [MILLION] * 300, "outputs": wide(4)[:1].take([0] * 300)},
        use_dictionary=True,
        dictionary_pagesize_limit=1 << 30,
    ),
    "ids by prefix": lambda: parquet(
        {"unit_id": [f"{MILLION}{i}" for i in range(300)], "outputs": wide(4)[:1].take([0] * 300)},
        column_encoding={"unit_id": "DELTA_BYTE_ARRAY"},
        data_page_size=1 << 30,
    ),
    "a lying page": swollen,
}


@pytest.mark.parametrize("case", BOMBS)
def test_small_files_that_unpack_to_much_are_refused_unopened(case, filled):
    data = BOMBS[case]()
    assert len(data) < 1 << 20
    forge(filled, data)
    with pytest.raises(StoreError, match=r"unpacks|its card says|characters|not a readable part"):
        filled.outputs("a/0", "val")
    assert len(filled.verify()) == 1


def test_the_peak_of_reading_a_bomb_is_small(filled, tmp_path):
    """In a process of its own, since the pool remembers its peak for ever."""
    code = """if True:
        import sys, pyarrow as pa
        from wisecommittee.errors import StoreError
        from wisecommittee.store.parquet import parts
        from wisecommittee.store.parquet.units_file import decode_units
        for path in sys.argv[1:]:
            data = open(path, "rb").read()
            try:
                decode_units(data, "w") if "units" in path else list(parts.decode(data, "w", 4))
            except StoreError as error:
                print(error)
        print(pa.default_memory_pool().max_memory())
    """
    names = []
    for i, (name, make) in enumerate({**BOMBS, "units": shared_prefixes}.items()):
        names.append(tmp_path / f"{'units' if name == 'units' else 'part'}-{i}")
        names[-1].write_bytes(make())
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    *refusals, peak = done.stdout.splitlines()
    assert len(refusals) == len(names)
    assert sum("encoding 7" in refusal for refusal in refusals) == 2
    assert int(peak) < 16 << 20


@pytest.mark.parametrize("classes", [10**6, 10**12])
def test_a_card_that_promises_too_much_allocates_nothing(filled, classes, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: pytest.fail("made room"))
    forge(filled, parquet({"unit_id": IDS, "outputs": vectors(X)}), classes=classes)
    with pytest.raises(StoreError, match=rf"4 classes; its card says {classes}|bytes that unpack to [\d,.]+ GB"):
        filled.outputs("a/0", "val")
    assert not list(cache.cache_folder().glob("*"))


def stored_twice(store: LogitStore, columns: dict, rows: int, classes: int) -> None:
    """A store that vouches for itself: units of so many rows, and one part of these columns."""
    ids = np.char.mod("%d", np.arange(rows)).tolist()
    units = {"unit_id": ids, "label": np.zeros(rows, np.int64)}
    (store.files.local / "val/units.parquet").write_bytes(parquet(units, row_group_size=5_000))
    forge(store, parquet({"unit_id": ids, **columns}, row_group_size=5_000), rows=rows, classes=classes,
          units=units_hash(ids, units["label"]))  # fmt: skip


def test_a_store_of_few_bytes_that_would_take_gigabytes_is_refused(filled, monkeypatch):
    rows, classes = 12_000, 500
    zeros = pa.array(np.zeros(rows * classes, np.float32))
    kind = pa.list_(pa.field("element", pa.float32(), False), classes)
    stored_twice(filled, {"outputs": pa.FixedSizeListArray.from_arrays(zeros, type=kind)}, rows, classes)
    size = part_paths(filled)[0].stat().st_size
    refused = pytest.raises(ContentError, match=r"a/0 in val: [\d,]+ bytes that unpack to 0\.0 GB; .* remove the model")
    with monkeypatch.context() as patch, refused:
        patch.setattr(os, "posix_fallocate", lambda *_: pytest.fail("made room"))
        patch.setattr(row_groups, "ANY_SIZE", 1 << 20)
        patch.setattr(row_groups, "MOST_UNPACKED", 24_000_000 // size - 1)
        assert len(filled.verify()) == 1
        filled.outputs("a/0", "val")
    assert filled.outputs("a/0", "val").shape == (rows, classes)


def test_what_cannot_be_read_is_not_written(store, monkeypatch):
    monkeypatch.setattr(row_groups, "ANY_SIZE", 1 << 20)
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    with pytest.raises(ContentError, match=r"a/0 in val: .* bytes that unpack to"):
        store.add(card(), "val", labels=np.zeros(3_000, int), outputs=np.zeros((3_000, 5_000), np.float32))
    assert store.models("val") == ()


def test_more_rows_than_bytes_can_name_are_refused(filled, monkeypatch):
    """Numbers that count up take no bytes at all in a file."""
    monkeypatch.setattr(row_groups, "ANY_UNITS", 1_000)
    rows = 200_000
    units = {"unit_id": np.arange(rows), "label": np.zeros(rows, np.int64)}
    data = parquet(units, column_encoding={"unit_id": "DELTA_BINARY_PACKED"}, row_group_size=rows)
    assert len(data) < rows // row_groups.UNITS_PER_BYTE
    (filled.files.local / "val/units.parquet").write_bytes(data)
    with pytest.raises(StoreError, match=r"200,000 rows in [\d,]+ bytes; expected [\d,]+ at most"):
        filled.labels("val")


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_nothing_is_unpickled(filled, tmp_path):
    payload = pickle.dumps(Trap(str(tmp_path / "sprung")))
    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload}
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), C)
    schema = pa.schema([pa.field("unit_id", pa.string()), pa.field("outputs", kind, metadata=metadata)])
    forge(filled, parquet(pa.table([pa.array(IDS), vectors(X)], schema=schema)))
    with contextlib.suppress(StoreError):
        filled.outputs("a/0", "val")
    filled.verify()
    for path in cache.cache_folder().glob("*.npy"):
        np.save(path, np.array([Trap(str(tmp_path / "sprung"))], dtype=object), allow_pickle=True)
        with contextlib.suppress(StoreError):
            LogitStore(filled.files.uri).outputs("a/0", "val")
    (folder(filled) / "card.json").write_bytes(payload)
    with pytest.raises(StoreError, match="not JSON"):
        filled.card("a/0", "val")
    assert not (tmp_path / "sprung").exists()
