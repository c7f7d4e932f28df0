"""features.parquet (columns of the units of a split: numbers and categories) as bytes, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wisecommittee.errors import StoreError, first_line
from wisecommittee.store import checks
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.row_groups import numbers_of, row_groups, text_of


def encode_features(unit_ids: Sequence[str], columns: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Parquet of unit_id and these columns: double for numbers, string for categories."""
    arrays = {"unit_id": pa.array(list(unit_ids), pa.string())}
    for name, values in columns.items():
        numbers = values.dtype.kind == "f"
        arrays[name] = pa.array(values.astype(np.float64)) if numbers else pa.array(values.tolist(), pa.string())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink, row_group_size=parts.ROW_GROUP, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def decode_features(data: bytes, what: str) -> tuple[list[str], dict[str, NDArray[np.generic]]]:
    """Unit ids [n], and {column: float64 or text [n]}, from the bytes that encode_features returns."""
    unit_ids: list[str] = []
    read: dict[str, list[Any]] = {}
    try:
        for table in row_groups(data, what, lambda name: True):
            for name in table.column_names:
                column = table.column(name)
                if name == "unit_id":
                    unit_ids += text_of(column, what)
                elif pa.types.is_floating(column.type):
                    read.setdefault(name, []).append(numbers_of(column).astype(np.float64))
                else:
                    read.setdefault(name, []).append(checks.text_array(text_of(column, what), what))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(
            f"{what}: not readable ({first_line(error)}); remove it, or import the features again"
        ) from error
    columns = {name: np.concatenate(pieces) for name, pieces in read.items()}
    for name, values in columns.items():
        if values.dtype.kind == "f":
            checks.check_column(values, len(unit_ids), f"{what}: {name}")
    return unit_ids, columns
