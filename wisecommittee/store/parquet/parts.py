"""One part of a model as Parquet bytes, and back.

Columns: unit_id (text); outputs FixedSizeList<float32 | float16>[C], or answer (text) with quality (float32) if graded;
score_<name> (float32) and cost_<name> (float64). Row groups of 5,000 rows, fewer where rows are long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, StoreError, first_line
from wisecommittee.store.parquet.row_groups import numbers_of, row_groups, text_of
from wisecommittee.store.rows import ModelRows

ROW_GROUP = 5_000
ROW_GROUP_BYTES = 256 << 20  # of outputs; what a writer holds at a time


def row_group_rows(classes: int | None) -> int:
    """Rows of a group: 5,000, or as many as make 256 MB of outputs."""
    return max(1, min(ROW_GROUP, ROW_GROUP_BYTES // (4 * (classes or 1))))


class Encoder:
    """A part that grows by row groups; it holds their compressed bytes only."""

    def __init__(self) -> None:
        self.rows = 0
        self._sink = pa.BufferOutputStream()
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: ModelRows) -> None:
        table = _table(rows)
        if self._writer is None:
            # Other readers cannot decode split float16.
            split = rows.outputs is not None and rows.outputs.dtype == np.float32
            self._writer = pq.ParquetWriter(
                self._sink,
                table.schema,
                compression="zstd",
                use_dictionary=False,
                column_encoding={"outputs.list.element": "BYTE_STREAM_SPLIT"} if split else None,
            )
        self._writer.write_table(table, row_group_size=max(1, len(rows)))
        self.rows += len(rows)

    def close(self) -> memoryview:
        """The Parquet bytes."""
        assert self._writer is not None
        self._writer.close()
        return memoryview(self._sink.getvalue())


def _table(rows: ModelRows) -> pa.Table:
    arrays: dict[str, pa.Array] = {"unit_id": pa.array(rows.unit_ids, pa.string())}
    if rows.outputs is not None:
        values = pa.array(np.ascontiguousarray(rows.outputs).reshape(-1))
        kind = pa.list_(pa.field("element", values.type, nullable=False), rows.outputs.shape[1])
        arrays["outputs"] = pa.FixedSizeListArray.from_arrays(values, type=kind)
    if rows.answers is not None:
        arrays["answer"] = pa.array(rows.answers, pa.string())
    if rows.quality is not None:
        arrays["quality"] = pa.array(rows.quality, pa.float32())
    for name in sorted(rows.scores):
        arrays[f"score_{name}"] = pa.array(np.ascontiguousarray(rows.scores[name], dtype=np.float32))
    for name in sorted(rows.unit_costs):
        arrays[f"cost_{name}"] = pa.array(np.ascontiguousarray(rows.unit_costs[name], dtype=np.float64))
    return pa.table(arrays)


def decode(data: bytes, what: str, classes: int | None) -> Iterator[ModelRows]:
    """The rows of a part, one row group at a time; outputs [n, classes] as stored, or answers if that is None.

    Foreign or damaged bytes are a StoreError.
    """
    try:
        for table in row_groups(data, what, _is_part_column, classes):
            yield _rows(table, what, classes)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{what}: not a readable part ({first_line(error)}); extract or import it again") from error
    finally:
        pa.default_memory_pool().release_unused()  # it would keep what a row group took, in each thread that decodes


def _rows(table: pa.Table, what: str, classes: int | None) -> ModelRows:
    names = table.column_names
    if not {"unit_id", "outputs" if classes else "answer"} <= set(names) or {"outputs", "answer"} <= set(names):
        expected = "outputs" if classes else "answer"
        raise StoreError(f"{what}: columns {', '.join(names)}; expected unit_id and {expected}")

    def column(name: str, dtype: type[np.floating]) -> NDArray[Any]:
        kind = table.schema.field(name).type
        if not pa.types.is_floating(kind):
            raise StoreError(f"{what}: column {name} is {kind}; expected numbers")
        return numbers_of(table.column(name)).astype(dtype, copy=False)

    outputs = None
    if "outputs" in names:
        lists = table.column("outputs")
        values = pa.chunked_array([chunk.flatten() for chunk in lists.chunks], lists.type.value_type)
        if values.null_count or len(values) != len(table) * (classes or 0):
            raise ContentError(f"{what}: outputs have empty values; extract or import it again")
        outputs = numbers_of(values).reshape(len(table), -1)
    return ModelRows(
        text_of(table.column("unit_id"), what),
        outputs,
        text_of(table.column("answer"), what) if "answer" in names else None,
        column("quality", np.float32) if "quality" in names else None,
        {n.removeprefix("score_"): column(n, np.float32) for n in names if n.startswith("score_")},
        {n.removeprefix("cost_"): column(n, np.float64) for n in names if n.startswith("cost_")},
    )


def _is_part_column(name: str) -> bool:
    return name in ("unit_id", "outputs", "answer", "quality") or name.startswith(("score_", "cost_"))
