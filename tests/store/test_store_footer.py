"""Footers of Parquet files: what pyarrow writes passes, what would end the process is refused, whatever is damaged."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wisecommittee.errors import StoreError
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.footer import check_footer
from wisecommittee.store.parquet.thrift import BINARY, DOUBLE, I8, I16, I32, I64, LIST, STRUCT, TRUE, read_struct
from wisecommittee.store.parquet.units_file import decode_units, encode_units
from wisecommittee.store.rows import ModelRows

N, C = 60, 4
IDS = [f"unit-{i}" for i in range(N)]


def made() -> dict[str, bytes]:
    """A part of outputs in two row groups, one of graded answers, and the units of a split."""
    rng = np.random.default_rng(0)
    column = rng.random(N)
    rows = ModelRows(IDS, rng.random((N, C), np.float32), scores={"s": np.float32(column)}, unit_costs={"usd": column})
    outputs, answers = parts.Encoder(), parts.Encoder()
    outputs.add(rows)
    outputs.add(rows)
    answers.add(ModelRows(IDS, answers=[str(i % 7) for i in range(N)], quality=np.float32(column)))
    units = encode_units(IDS, np.arange(N))
    return {"outputs": bytes(outputs.close()), "answers": bytes(answers.close()), "units": units}


def read(name: str, data: bytes) -> None:
    if name == "units":
        decode_units(data, "w")
    else:
        list(parts.decode(data, "w", C if name == "outputs" else None))


def footer_length(data: bytes) -> int:
    return struct.unpack("<I", data[-8:-4])[0]


def damaged(data: bytes, random) -> bytes:
    """The file with one to four bytes of its footer changed, removed or inserted."""
    raw = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        length = footer_length(raw)
        at = len(raw) - 8 - random.randrange(length)
        kind = random.random()
        if kind < 0.6:
            raw[at - 1] = random.randrange(256)
        elif kind < 0.8:
            raw[at - 1] ^= 1 << random.randrange(8)
        else:
            raw[at - 1 : at] = b"" if kind < 0.9 else bytes([raw[at - 1], random.randrange(256)])
            raw[-8:-4] = struct.pack("<I", length + (-1 if kind < 0.9 else 1))
    return bytes(raw)


BATCH = """
import sys
from random import Random
from test_store_footer import damaged, made, read
from wisecommittee.errors import StoreError
first, last = map(int, sys.argv[1:])
for name, data in made().items():
    for seed in range(first, last):
        print(name, seed, flush=True)
        try:
            read(name, damaged(data, Random(f"{name} {seed}")))
        except StoreError:
            pass
"""


def test_no_damaged_footer_ends_the_process(request):
    """In a process of its own: where it ends by a signal, the last line says with which footer."""
    done = subprocess.run(
        [sys.executable, "-c", BATCH, "0", "700"], capture_output=True, text=True, cwd=request.path.parent, timeout=1800
    )
    assert done.returncode == 0, (done.stdout.splitlines()[-1], done.stderr[-1000:])
    assert len(done.stdout.splitlines()) == 3 * 700


# A writer of the protocol, to change one number of a footer and leave the rest as it is


def varint(value: int) -> bytes:
    low = bytes([value & 127 | (128 if value > 127 else 0)])
    return low + (varint(value >> 7) if value > 127 else b"")


def encoded(kind: int, value) -> bytes:
    if kind in (I16, I32, I64):
        return varint(2 * value if value >= 0 else -2 * value - 1)
    if kind == I8:
        return bytes([value])
    if kind == DOUBLE:
        return value
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == LIST:
        of, elements = value
        head = bytes([len(elements) << 4 | of]) if len(elements) < 15 else bytes([0xF0 | of]) + varint(len(elements))
        return head + b"".join(encoded(of, element) for element in elements)
    assert kind == STRUCT
    out, last = b"", 0
    for number, (of, element) in sorted(value.items()):
        wire = (1 if element else 2) if of == TRUE else of
        out += bytes([number - last << 4 | wire]) if number - last < 16 else bytes([wire]) + encoded(I16, number)
        out += b"" if of == TRUE else encoded(of, element)
        last = number
    return out + b"\0"


def fields_of(data: bytes) -> dict:
    return read_struct(data[-8 - footer_length(data) : -8])[0]


def with_footer(data: bytes, fields: dict) -> bytes:
    footer = encoded(STRUCT, fields)
    return data[: -8 - footer_length(data)] + footer + struct.pack("<I", len(footer)) + b"PAR1"


@pytest.mark.parametrize("name", ["outputs", "answers", "units"])
def test_the_reader_reads_all_that_is_written(name):
    data = made()[name]
    assert with_footer(data, fields_of(data)) == data
    read(name, data)


def test_kinds_of_values():
    value = {
        1: (TRUE, True),
        2: (TRUE, False),
        3: (I8, 200),
        4: (I16, -(1 << 15)),
        5: (I32, (1 << 31) - 1),
        6: (I64, -(1 << 63)),
        7: (DOUBLE, struct.pack("<d", 0.1)),
        40: (BINARY, "ünï".encode()),
        41: (LIST, (I32, list(range(-10, 10)))),
        42: (LIST, (STRUCT, [{}, {1: (TRUE, True)}])),
        43: (STRUCT, {9: (LIST, (LIST, [(BINARY, [b"x"]), (I8, [])]))}),
    }
    data = encoded(STRUCT, value)
    assert read_struct(b"before" + data + b"after", 6) == (value, 6 + len(data))
    for stop in range(len(data)):
        with pytest.raises(ValueError, match=r"ends in the middle|are left|elements in"):
            read_struct(data[:stop])
    for bad, message in (
        (b"\x15\x02\x05\x02\x02\x00", "field 1 stands twice"),
        (b"\x1b\x00", "kind 11"),
        (b"\x15" + b"\xff" * 11, "more than ten bytes"),
        (b"\x15" + b"\xff" * 5 + b"\x01\x00", "in 32 bits"),
        (b"\x1c" * 40, "nested too deeply"),
        (b"\x19\xf9\x02" * 40, "nested too deeply"),
        (b"\x19\xf5\xff\xff\xff\xff\x0f\x00", "4,294,967,295 elements in 1 bytes"),
        (b"\x18\xff\xff\xff\xff\x0f\x00", "4,294,967,295 bytes where 1 are left"),
    ):
        with pytest.raises(ValueError, match=message):
            read_struct(bad)


# [place in the footer as field numbers and list places, new value, message]
SCHEMA, GROUPS = 2, 4
COLUMN = (GROUPS, 0, 1, 0, 3)
REFUSED = [
    ((3,), (I64, 61), "61 rows, 60 in its row groups"),
    ((3,), (I32, 60), "num_rows is of kind 5"),
    ((SCHEMA, 0, 5), (I32, 3), "fewer elements"),
    ((SCHEMA, 0, 5), (I32, 1), "more elements"),
    ((SCHEMA, 0, 5), (I32, -1), "without a root"),
    ((SCHEMA, 1, 1), (I32, 8), "type 8"),
    ((SCHEMA, 1, 1), None, "0 children"),
    ((SCHEMA, 1, 3), (I32, 3), "repetition 3"),
    ((SCHEMA, 1, 3), None, "repetition None"),
    ((SCHEMA, 1, 3), (I32, 0), "definition levels of 2 kinds"),
    ((SCHEMA, 1, 4), None, "no name"),
    ((SCHEMA, 1, 6), (I32, 22), "converted type 22"),
    ((SCHEMA, 2, 2), (I32, -1), "type_length -1"),
    ((GROUPS, 0, 3), (I64, -60), "num_rows -60"),
    ((GROUPS, 0, 1, 0, 3), None, "no meta_data"),
    ((GROUPS, 0, 1, 0, 1), (BINARY, b"elsewhere"), "in another file"),
    ((*COLUMN, 1), (I32, 1), "not the schema's column"),
    ((*COLUMN, 2), (LIST, (I32, [0, 99])), "encodings"),
    ((*COLUMN, 2), (LIST, (I64, [0])), "encodings holds elements of kind 6"),
    ((*COLUMN, 3), (LIST, (BINARY, [b"label"])), "not the schema's column"),
    ((*COLUMN, 4), (I32, 8), "codec 8"),
    ((*COLUMN, 5), (I64, -1), "num_values -1"),
    ((*COLUMN, 7), (I64, 1 << 62), "total_compressed_size"),
    ((*COLUMN, 9), (I64, 1 << 40), "data_page_offset"),
    ((*COLUMN, 9), None, "no data_page_offset"),
    ((*COLUMN, 11), (I64, -4), "dictionary_page_offset -4"),
    ((*COLUMN, 16, 2), (LIST, (I64, [0, 0])), "repetition levels of 2 kinds"),
    ((8,), (STRUCT, {}), "encrypted"),
]


def changed(fields: dict, place: tuple[int, ...], value) -> None:
    """Put (kind, value) at a place of a footer, or remove what is there."""
    *way, last = place
    for number in way:
        fields = fields[number][1] if isinstance(fields, dict) else fields[number]
        fields = fields[1] if isinstance(fields, tuple) else fields
    if value is None:
        del fields[last]
    else:
        fields[last] = value


@pytest.mark.parametrize(("place", "value", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_what_is_refused(place, value, message):
    data = made()["units"]
    fields = fields_of(data)
    changed(fields, place, value)
    with pytest.raises(
        StoreError, match=rf"w: not a readable list of units \(its footer is damaged \(.*({message})|{message}"
    ):
        read("units", with_footer(data, fields))


def test_lengths_of_the_footer():
    data = made()["units"]
    for raw, message in (
        (data[:-8] + struct.pack("<I", len(data)) + b"PAR1", "bytes of it in a file of"),
        (data[:-8] + b"\0" + struct.pack("<I", footer_length(data) + 1) + b"PAR1", "where .* are announced"),
        (b"PAR2" + data[4:], "begin and end with PAR1"),
        (b"", "begin and end with PAR1"),
    ):
        with pytest.raises(ValueError, match=message):
            check_footer(io.BytesIO(raw))


MANY_KINDS = {
    "nested": [[{"a": 1, "b": [None, "x"]}], None, []],
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8())),
    "decimal": pa.array([1, None, 3]).cast(pa.decimal128(30, 2)),
    "time": pd.date_range("2026-01-01", periods=3, tz="UTC"),
    "words": pa.array(["a", "b", "a"]).dictionary_encode(),
    "half": np.zeros(3, np.float16),
    "empty": pa.nulls(3),
    "flag": [True, False, None],
    "large": pa.array(["x", "y", None], pa.large_string()),
}
WAYS = [
    {},
    {"version": "1.0", "compression": "snappy", "use_dictionary": False},
    {"write_page_index": True, "store_schema": False, "write_statistics": True, "row_group_size": 1},
    {"data_page_version": "2.0", "compression": "gzip", "write_page_checksum": True},
    {"sorting_columns": [pq.SortingColumn(4, True, False)], "write_statistics": False},
]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_whatever_is_written_passes(options, tmp_path):
    pq.write_table(pa.table(MANY_KINDS), tmp_path / "many.parquet", **options)
    pq.write_table(pa.table(MANY_KINDS).slice(0, 0), tmp_path / "none.parquet", **options)
    pq.write_table(pa.table({f"c{i}": [i] for i in range(300)}), tmp_path / "wide.parquet")
    for path in tmp_path.iterdir():
        with path.open("rb") as source:
            check_footer(source)
