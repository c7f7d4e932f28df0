"""Parts that no store wrote, and damaged ones."""

from __future__ import annotations

import contextlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import IDS, C, N, X, Y, card, forge, parquet, part_paths, vectors, with_value

from wisecommittee.errors import StoreError
from wisecommittee.store import LogitStore
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.units_file import encode_units
from wisecommittee.store.rows import ModelRows

pytestmark = pytest.mark.usefixtures("small_groups")


def nan_at(row: int) -> np.ndarray:
    return with_value(np.nan, row)


HOLES = pa.array([None if i == 3 else [0.0] * C for i in range(N)], pa.list_(pa.float32(), C))
GAPS = pa.array([[0.0, None, 0.0, 0.0]] * N, pa.list_(pa.float32(), C))
FORGED = {
    "not Parquet": (lambda: b"hello", "not a readable part"),
    "empty": (lambda: b"", "is missing|not a readable part"),
    "no ids": (lambda: parquet({"outputs": vectors(X)}), "expected unit_id and outputs"),
    "no outputs": (lambda: parquet({"unit_id": IDS}), "expected unit_id"),
    "more columns": (lambda: parquet({"unit_id": IDS, "outputs": vectors(X), "x": IDS}), "'x' is not one"),
    "a score more": (lambda: parquet({"unit_id": IDS, "outputs": vectors(X), "score_s": X[:, 0]}), "its card says"),
    "other classes": (
        lambda: parquet({"unit_id": IDS, "outputs": vectors(X[:, :3].copy())}),
        "3 classes; its card says 4",
    ),
    "plain lists": (lambda: parquet({"unit_id": IDS, "outputs": X.tolist()}), "fixed-size list"),
    "integers": (
        lambda: parquet({"unit_id": IDS, "outputs": vectors(X.astype(np.int32), pa.list_(pa.int32(), C))}),
        "fixed-size list",
    ),
    "text": (lambda: parquet({"unit_id": IDS, "outputs": IDS}), "fixed-size list"),
    "nested ids": (lambda: parquet({"unit_id": [[i] for i in IDS], "outputs": vectors(X)}), "text and numbers"),
    "missing rows": (lambda: parquet({"unit_id": IDS[1:], "outputs": vectors(X[1:])}), "22 rows; its card says 23"),
    "NaN": (lambda: parquet({"unit_id": IDS, "outputs": vectors(nan_at(7))}), "nan in row 7"),
    "null rows": (lambda: parquet({"unit_id": IDS, "outputs": HOLES}), "empty values|unpacks"),
    "null values": (lambda: parquet({"unit_id": IDS, "outputs": GAPS}), "empty values"),
    "null ids": (lambda: parquet({"unit_id": [None, *IDS[1:]], "outputs": vectors(X)}), "unit_id has 1 empty"),
    "foreign ids": (lambda: parquet({"unit_id": ["z", *IDS[1:]], "outputs": vectors(X)}), "'z' is not in the split"),
    "ids twice": (lambda: parquet({"unit_id": [IDS[1], *IDS[1:]], "outputs": vectors(X)}), "more than once"),
    "not UTF-8": (
        lambda: parquet({"unit_id": pa.array([b"\xff"] * N, pa.binary()), "outputs": vectors(X)}),
        "not a readable part",
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_part_that_no_store_wrote(case, filled):
    make, message = FORGED[case]
    forge(filled, make())
    with pytest.raises(StoreError, match=message) as caught:
        filled.outputs("a/0", "val")
    assert "a%2F0" in str(caught.value) or "a/0" in str(caught.value)
    assert filled.verify() == [str(caught.value)]


def test_other_parquet_of_the_same_rows_is_read(filled):
    """Other writers choose other encodings, compression and page versions."""
    for options in ({"use_dictionary": True}, {"data_page_version": "2.0"}, {"compression": "snappy"}, {}):
        data = parquet({"unit_id": pa.array(IDS, pa.large_string()), "outputs": vectors(X)}, **options)
        forge(filled, data)
        assert np.array_equal(filled.outputs("a/0", "val"), X)
        assert filled.verify() == []


@pytest.mark.parametrize(
    "edit", [lambda b: b[:-1], lambda b: b[:40], lambda b: b[:50] + b"x" + b[51:], lambda b: b + b"x"]
)
def test_parts_that_changed_or_went_away(filled, edit):
    path = part_paths(filled)[1]
    path.write_bytes(edit(path.read_bytes()))
    for _ in range(2):
        with pytest.raises(StoreError, match=r"part-0-1\.parquet changed since it was written.*--replace"):
            filled.outputs("a/0", "val")
        assert len(filled.verify()) == 1
    path.unlink()
    with pytest.raises(StoreError, match=r"part-0-1\.parquet is missing.*--replace"):
        filled.outputs("a/0", "val")
    assert filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, replace=True) == "replaced"
    assert np.array_equal(filled.outputs("a/0", "val"), X)


def test_values_other_than_the_content_hash_says(filled):
    forge(filled, parquet({"unit_id": IDS, "outputs": vectors(X + 1)}))
    assert np.array_equal(filled.outputs("a/0", "val"), X + 1)  # the card vouches for the bytes
    (problem,) = filled.verify()
    assert "a/0 in val: its values are not those" in problem


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_of_a_part_are_found_or_harmless(tmp_path, data):
    """Whatever page is flipped or file cut, and though the card vouches for the bytes: `verify` finds it, or the rows
    are the same. Footers: test_store_footer."""
    shutil.rmtree(tmp_path, ignore_errors=True)
    store, score = LogitStore(tmp_path / "logits"), X[:, 0].copy()
    store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, scores={"s": score})
    encoder = parts.Encoder()
    encoder.add(ModelRows(IDS, X, scores={"s": score}))
    forge(store, damaged(data, bytes(encoder.close())))
    problems = store.verify()
    try:
        rows = store.outputs("a/0", "val"), store.scores("a/0", "val", "s")
    except StoreError:
        assert problems
    else:
        assert problems or all(map(np.array_equal, rows, (X, score)))


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_units_are_an_error_of_the_store_or_harmless(tmp_path, data):
    shutil.rmtree(tmp_path, ignore_errors=True)
    store = LogitStore(tmp_path / "logits")
    store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    (store.files.local / "val/units.parquet").write_bytes(damaged(data, encode_units(IDS, Y)))
    with contextlib.suppress(StoreError):
        assert (store.unit_ids("val"), store.labels("val").tolist()) == (IDS, Y.tolist())


def damaged(data: st.DataObject, sound: bytes) -> bytes:
    """One to three bytes before the footer are others; maybe the file is cut."""
    raw = bytearray(sound)
    footer = int.from_bytes(raw[-8:-4], "little") + 8
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - footer - 1))] = data.draw(st.integers(0, 255))
    return bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw)
