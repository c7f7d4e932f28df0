"""units.parquet (unit ids and labels of a split) and groups.parquet (text columns) as bytes, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wisecommittee.errors import StoreError, first_line
from wisecommittee.store import checks
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.row_groups import numbers_of, row_groups, text_of


def encode_units(unit_ids: list[str], labels: NDArray[np.generic]) -> bytes:
    """units.parquet: unit_id (text), label (int64, or text for answers)."""
    integral = labels.dtype.kind in "iu"
    label = pa.array(labels.astype(np.int64)) if integral else pa.array(labels.astype(np.str_).tolist(), pa.string())
    sink = pa.BufferOutputStream()
    table = pa.table({"unit_id": pa.array(unit_ids, pa.string()), "label": label})
    pq.write_table(table, sink, row_group_size=parts.ROW_GROUP, compression="zstd", use_dictionary=["label"])
    return sink.getvalue().to_pybytes()


def decode_units(data: bytes, what: str) -> tuple[list[str], NDArray[np.generic]]:
    """Unit ids [N] text and labels [N] int64, or text for answers."""
    unit_ids: list[str] = []
    numbers: list[NDArray[np.int64]] = []
    texts: list[str] = []
    try:
        for table in row_groups(data, what, lambda name: name in ("unit_id", "label")):
            if table.num_columns != 2:
                raise StoreError(f"{what}: only column {table.column_names[0]}; expected unit_id and label")
            unit_ids += text_of(table.column("unit_id"), what)
            label = table.column("label")
            if pa.types.is_integer(label.type):
                numbers.append(numbers_of(label).astype(np.int64))
            else:
                texts += text_of(label, what)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(
            f"{what}: not a readable list of units ({first_line(error)}); "
            f"restore it, or remove the models of the split and import them again"
        ) from error
    return unit_ids, checks.text_array(texts, what) if texts or not numbers else np.concatenate(numbers)


def units_hash(unit_ids: Sequence[str], labels: NDArray[np.generic]) -> str:
    """sha256 of the units of a split: ids and labels, in their order."""
    digest = hashlib.sha256()
    integral = labels.dtype.kind in "iu"
    for texts in (unit_ids, [] if integral else labels.tolist()):
        digest.update(np.fromiter(map(len, texts), "<u4", len(texts)).tobytes())
        digest.update("".join(texts).encode())
    digest.update(labels.astype("<i8").tobytes() if integral else b"text")
    return digest.hexdigest()


def encode_texts(columns: Mapping[str, Sequence[str]]) -> bytes:
    """Parquet of text columns of one length."""
    sink = pa.BufferOutputStream()
    table = pa.table({name: pa.array(list(values), pa.string()) for name, values in columns.items()})
    pq.write_table(table, sink, row_group_size=parts.ROW_GROUP, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def decode_texts(data: bytes, what: str) -> dict[str, list[str]]:
    """{column: text [N]}, from the bytes that encode_texts returns."""
    columns: dict[str, list[str]] = {}
    try:
        for table in row_groups(data, what, lambda name: True):
            for name in table.column_names:
                columns.setdefault(name, []).extend(text_of(table.column(name), what))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(
            f"{what}: not readable ({first_line(error)}); remove it, or import the labels again"
        ) from error
    return columns
