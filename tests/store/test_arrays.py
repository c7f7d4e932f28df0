"""Arrays of strangers against numpy itself: what it reads comes back equal; what is damaged is one line."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wisecommittee import reading
from wisecommittee.errors import ContentError, StoreError
from wisecommittee.store.parquet.tables import read_parquet
from wisecommittee.store.readers.arrays import Npz, load_npy

X = np.random.default_rng(0).standard_normal((7, 3))
ARRAYS = {
    "float32": X.astype("f4"),
    "by columns": np.asfortranarray(X),
    "big-endian": X.astype(">f8"),
    "big-endian numbers": np.arange(5, dtype=">i4"),
    "text": np.array(["a", "bc", "ä"]),
    "big-endian text": np.array(["a", "bc"], ">U2"),
    "bytes": np.array([b"a", b"bc"]),
    "booleans": X > 0,
    "many dimensions": np.arange(24, dtype="u1").reshape(2, 3, 4, 1),
    "no rows": np.zeros((0, 3), "f4"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_numpy_reads_them(tmp_path, name, write):
    array = ARRAYS[name]
    np.save(tmp_path / "a.npy", array)
    write(tmp_path / "a.npz", first=array, second=X)
    with Npz(tmp_path / "a.npz") as archive:
        assert archive.names == ("first", "second")
        found = [load_npy(tmp_path / "a.npy"), archive["first"]]
    for one in found:
        np.testing.assert_array_equal(one, array)
        assert one.dtype.isnative
        assert one.dtype == array.dtype.newbyteorder("=")


def header(shape: object = (7, 3), descr: object = "<f8", fortran: object = False, **more: object) -> bytes:
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape, **more}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


DAMAGED = {
    "cut in its header": npy(X)[:50],
    "cut": npy(X)[:-1],
    "no array": b"hello, world",
    "empty": b"",
    "a header that does not end": npy(X).replace(b"(7, 3)", b"((((((", 1),
    "a header of code": npy(X).replace(b"(7, 3)", b"exit()", 1),
    "a header without shape": header().replace(b"shape", b"shope"),
    "objects": npy(np.array([{"x": 1}, None])),
    "objects claimed": header(descr="|O") + X.tobytes(),
    "structured": npy(np.zeros(3, [("a", "f4"), ("b", "i4")])),
    "a single value": npy(np.float64(3)),
    "complex": npy(X + 1j),
    "dates": npy(np.array(["2020-01-01"], "M8[D]")),
    "nothing in each": npy(np.zeros(3, "V4")),
    "negative": header(shape=(-1, 3)) + X.tobytes(),
    "huge": header(shape=(1 << 62, 3)) + X.tobytes(),
    "larger than 64 bits": header(shape=(1 << 62, 1 << 62)) + X.tobytes(),
    "shape of text": header(shape="x") + X.tobytes(),
    "order of text": header(fortran="x") + X.tobytes(),
    "an unknown version": b"\x93NUMPY\x09\x00" + npy(X)[8:],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_arrays_are_refused_with_the_file_and_the_remedy(tmp_path, name):
    (tmp_path / "a.npy").write_bytes(DAMAGED[name])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", DAMAGED[name])
    with pytest.raises(ContentError, match=r"a\.npy: .*write it again with np\.save"):
        load_npy(tmp_path / "a.npy")
    with Npz(tmp_path / "a.npz") as opened, pytest.raises(ContentError, match=r"a\.npz: a: .*write it again with np"):
        opened["a"]


def changed_directory(data: bytes, field: int, value: bytes) -> bytes:
    """The zip file with a field of the first entry of its directory changed."""
    at = data.index(b"PK\x01\x02") + field
    return data[:at] + value + data[at + len(value) :]


def archive(write=np.savez_compressed) -> bytes:
    out = io.BytesIO()
    write(out, a=np.arange(1000) % 7)
    return out.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


ARCHIVES = {
    "cut short": archive()[:-30],
    "cut to half": archive()[:100],
    "no archive": b"hello",
    "empty": b"",
    "a wrong checksum": flipped(archive(np.savez), 400),
    "bad deflate": flipped(archive(), 60),
    "encrypted": changed_directory(archive(), 8, b"\x01\x00"),
    "an unknown method": changed_directory(archive(), 10, b"\x63\x00"),
    "a claim of less": changed_directory(archive(), 24, b"\x10\x00\x00\x00"),
    "a claim of more": changed_directory(archive(), 24, b"\xff\xff\xff\x7f"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_damaged_archives_are_refused_with_the_file_and_the_remedy(tmp_path, name):
    (tmp_path / "a.npz").write_bytes(ARCHIVES[name])
    with (
        pytest.raises(ContentError, match=r"a\.npz: .*write it again with np\.savez"),
        Npz(tmp_path / "a.npz") as opened,
    ):
        opened["a"]


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy(X))
        archive.writestr("b.npy", npy(X))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes().replace(b"b.npy", b"a.npy"))
    with pytest.raises(ContentError, match="two arrays of one name among a"):
        Npz(tmp_path / "a.npz")


def bomb(path, rows: int) -> None:
    """An archive of zeros: a thousandth of what it unpacks to."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as out,
    ):
        out.write(header(shape=(rows, 1000), descr="<f4"))
        for _ in range(0, rows, 1000):
            out.write(bytes(4_000_000))


def test_what_unpacks_to_far_more_than_its_file_is_refused_unread(tmp_path, monkeypatch):
    bomb(tmp_path / "a.npz", 25_000)
    with Npz(tmp_path / "a.npz") as opened:
        assert opened["a"].nbytes == 100_000_000  # up to a gigabyte whatever the size of the file
    monkeypatch.setattr(reading, "ANY_SIZE", 50_000_000)
    with Npz(tmp_path / "a.npz") as opened, pytest.raises(ContentError, match=r"0\.1 GB, 1,0\d\d times as many"):
        opened["a"]


def test_what_does_not_fit_into_memory_is_refused_unread(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", a=np.zeros((1000, 100)))
    np.save(tmp_path / "a.npy", np.zeros((1000, 100), ">f8"))
    monkeypatch.setattr(reading, "free_memory", lambda: 100_000)
    with Npz(tmp_path / "a.npz") as opened, pytest.raises(ContentError, match="memory needed"):
        opened["a"]
    with pytest.raises(ContentError, match="memory needed"):
        load_npy(tmp_path / "a.npy")


TABLES = {
    "numbers and text": pa.table({"unit_id": [f"u{i}" for i in range(50)], "label": range(50)}),
    "missing values": pa.table({"a": ["x", None, "y"] * 20, "b": [1.5, None, 2.5] * 20}),
    "lists": pa.table({"outputs": pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 3)}),
    "lists of text": pa.table({"a": [["x", "y"], None, ["z"]]}),
    "images": pa.table({"image": [{"bytes": b"\xff" * 1000, "path": f"{i}.png"} for i in range(30)]}),
    "no rows": pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.int64())}),
    "all kinds": pa.table(
        {
            "decimal": pa.array([1, 2], pa.decimal128(20, 2)),
            "date": pa.array([1, 2], pa.timestamp("us")),
            "null": pa.nulls(2),
            "flag": [True, False],
            "half": pa.array(np.float16([1, 2])),
        }
    ),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("options", [{}, {"compression": None, "use_dictionary": False}, {"data_page_version": "2.0"}])
def test_parquet_comes_back_as_pyarrow_reads_it(tmp_path, name, options):
    pq.write_table(TABLES[name], tmp_path / "t.parquet", **options)
    assert read_parquet(tmp_path / "t.parquet").equals(TABLES[name])


def test_a_dictionary_comes_back_as_its_texts(tmp_path):
    column = pa.array(["a", "b", None, "a"]).dictionary_encode()
    pq.write_table(pa.table({"t": column, "n": range(4)}), tmp_path / "t.parquet")
    found = read_parquet(tmp_path / "t.parquet", ["t"])
    assert found.to_pydict() == {"t": ["a", "b", None, "a"]}
    assert found.schema.field("t").type == pa.string()


def same_text(rows: int, length: int) -> pa.Table:
    places = pa.array(np.zeros(rows, np.int32))
    return pa.table({"t": pa.DictionaryArray.from_arrays(places, pa.array(["x" * length]))})


def same_number(rows: int) -> pa.Table:
    return pa.table({"label": pa.array(np.zeros(rows, np.int64))})


BOMBS = {
    "one number for every row": lambda: same_number(15_000_000),
    "one long text for every row": lambda: same_text(200_000, 1_000),
    "one text for very many rows": lambda: same_text(3_000_000, 1),
    "one long text in every list": lambda: pa.table({"t": pa.array([["x" * 1_000] * 1_000] * 150)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_parquet_that_unpacks_to_far_more_than_its_file_is_refused_unread(tmp_path, name):
    pq.write_table(BOMBS[name](), tmp_path / "t.parquet", compression="zstd")
    assert os.path.getsize(tmp_path / "t.parquet") < 500_000
    code = """if True:
        import resource, sys
        from wisecommittee import reading
        reading.ANY_SIZE = 100 << 20
        from wisecommittee.errors import ContentError
        from wisecommittee.store.parquet.tables import read_parquet
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read_parquet(sys.argv[1])
        except ContentError as error:
            print(error)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", code, tmp_path / "t.parquet"]
    refusal, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert re.search(r"t\.parquet: .* claim to unpack to", refusal)
    assert int(kilobytes) < 50_000


def test_parquet_that_does_not_fit_into_memory_is_refused_unread(tmp_path, monkeypatch):
    pq.write_table(same_number(100_000), tmp_path / "t.parquet")
    monkeypatch.setattr(reading, "free_memory", lambda: 100_000)
    with pytest.raises(ContentError, match="memory needed"):
        read_parquet(tmp_path / "t.parquet")


def test_damaged_parquet_is_one_line(tmp_path):
    pq.write_table(TABLES["numbers and text"], tmp_path / "t.parquet", write_page_checksum=True)
    whole = (tmp_path / "t.parquet").read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", b"PAR1", flipped(whole, 60)):
        (tmp_path / "t.parquet").write_bytes(damaged)
        with pytest.raises(StoreError, match=r"t\.parquet: not a readable Parquet file .*write it again"):
            read_parquet(tmp_path / "t.parquet")
