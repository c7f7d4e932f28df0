"""One part of a model as Parquet bytes, and back.

Columns: unit_id (text); outputs FixedSizeList<float32 | float16>[C], or answer (text) with quality (float32) if graded;
score_<name> (float32) and cost_<name> (float64). Row groups of 5,000 rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, StoreError

ROW_GROUP = 5_000
MAX_ROW_GROUP_BYTES = 2 << 30
CONTENT_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one model. unit_ids [n] text; outputs [n, C] or answers [n] text; per column [n] scores, unit costs, quality."""

    unit_ids: list[str]
    outputs: NDArray[np.floating] | None = None
    answers: list[str] | None = None
    quality: NDArray[np.float32] | None = None
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    unit_costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.unit_ids)

    def slice(self, start: int, stop: int) -> Rows:
        cut = slice(start, stop)
        return Rows(
            self.unit_ids[cut],
            None if self.outputs is None else self.outputs[cut],
            None if self.answers is None else self.answers[cut],
            None if self.quality is None else self.quality[cut],
            {name: column[cut] for name, column in self.scores.items()},
            {name: column[cut] for name, column in self.unit_costs.items()},
        )


def join(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    return Rows(
        [unit for piece in pieces for unit in piece.unit_ids],
        None if first.outputs is None else np.concatenate([p.outputs for p in pieces if p.outputs is not None]),
        None if first.answers is None else [a for piece in pieces for a in (piece.answers or [])],
        None if first.quality is None else np.concatenate([p.quality for p in pieces if p.quality is not None]),
        {name: np.concatenate([p.scores[name] for p in pieces]) for name in first.scores},
        {name: np.concatenate([p.unit_costs[name] for p in pieces]) for name in first.unit_costs},
    )


def content_sum(rows: Rows) -> int:
    """Sum over rows of a 256-bit hash of (unit id, values): independent of row order and of part boundaries."""
    n = len(rows)
    columns: list[NDArray[np.generic]] = []
    if rows.outputs is not None:
        columns.append(np.ascontiguousarray(rows.outputs, dtype="<f4"))
    if rows.quality is not None:
        columns.append(np.asarray(rows.quality, dtype="<f4"))
    columns += [np.asarray(rows.scores[name], dtype="<f4") for name in sorted(rows.scores)]
    columns += [np.asarray(rows.unit_costs[name], dtype="<f8") for name in sorted(rows.unit_costs)]
    views = [(memoryview(np.ascontiguousarray(c).reshape(-1).view(np.uint8).data), c.nbytes // max(n, 1)) for c in columns]
    total = 0
    for i, unit in enumerate(rows.unit_ids):
        digest = hashlib.blake2b(unit.encode() + b"\0", digest_size=32)
        for view, width in views:
            digest.update(view[i * width : (i + 1) * width])
        if rows.answers is not None:
            digest.update(rows.answers[i].encode())
        total += int.from_bytes(digest.digest(), "little")
    return total % CONTENT_MODULUS


def encode(rows: Rows) -> bytes:
    """The Parquet bytes of a part."""
    arrays: dict[str, pa.Array] = {"unit_id": pa.array(rows.unit_ids, pa.string())}
    if rows.outputs is not None:
        values = pa.array(np.ascontiguousarray(rows.outputs).reshape(-1))
        kind = pa.list_(pa.field("element", values.type, nullable=False), rows.outputs.shape[1])
        arrays["outputs"] = pa.FixedSizeListArray.from_arrays(values, type=kind)
    if rows.answers is not None:
        arrays["answer"] = pa.array(rows.answers, pa.string())
    if rows.quality is not None:
        arrays["quality"] = pa.array(rows.quality, pa.float32())
    for name, column in rows.scores.items():
        arrays[f"score_{name}"] = pa.array(np.ascontiguousarray(column, dtype=np.float32))
    for name, costs in rows.unit_costs.items():
        arrays[f"cost_{name}"] = pa.array(np.ascontiguousarray(costs, dtype=np.float64))
    table = pa.table(arrays)
    split = rows.outputs is not None and rows.outputs.dtype == np.float32
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP,
        compression="zstd",
        use_dictionary=False,
        # Other readers cannot decode split float16.
        column_encoding={"outputs.list.element": "BYTE_STREAM_SPLIT"} if split else None,
    )
    return sink.getvalue().to_pybytes()


def decode(data: bytes, what: str) -> Iterator[Rows]:
    """The rows of a part, one row group at a time; outputs as float32. Raises StoreError on foreign or damaged bytes."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).total_byte_size
            if size > MAX_ROW_GROUP_BYTES:
                raise StoreError(f"{what}: a row group of {size:,} bytes; parts of a store hold {ROW_GROUP:,} rows each")
            yield _rows(file.read_row_group(group), what)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{what}: not a readable part ({str(error).splitlines()[0]}); extract or import it again") from error


def _rows(table: pa.Table, what: str) -> Rows:
    names = table.column_names
    if "unit_id" not in names or not ({"outputs", "answer"} & set(names)):
        raise StoreError(f"{what}: columns {', '.join(names)}; expected unit_id and outputs, or unit_id and answer")
    for name in names:
        if table.column(name).null_count:
            raise ContentError(f"{what}: column {name} has {table.column(name).null_count} empty values")

    def column(name: str, dtype: type[np.floating]) -> NDArray[np.floating]:
        kind = table.schema.field(name).type
        if not pa.types.is_floating(kind):
            raise StoreError(f"{what}: column {name} is {kind}; expected numbers")
        return table.column(name).to_numpy().astype(dtype, copy=False)

    outputs = None
    if "outputs" in names:
        kind = table.schema.field("outputs").type
        if not pa.types.is_fixed_size_list(kind) or not pa.types.is_floating(kind.value_type):
            raise StoreError(f"{what}: outputs are {kind}; expected a fixed-size list of float32 or float16")
        flat = table.column("outputs").combine_chunks()
        values = (flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat).flatten()
        if values.null_count or len(values) != len(table) * kind.list_size:
            raise ContentError(f"{what}: outputs have empty values")
        outputs = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False).reshape(len(table), kind.list_size)
    return Rows(
        table.column("unit_id").cast(pa.string()).to_pylist(),
        outputs,
        table.column("answer").cast(pa.string()).to_pylist() if "answer" in names else None,
        column("quality", np.float32) if "quality" in names else None,
        {n.removeprefix("score_"): column(n, np.float32) for n in names if n.startswith("score_")},
        {n.removeprefix("cost_"): column(n, np.float64) for n in names if n.startswith("cost_")},
    )


def encode_units(unit_ids: list[str], labels: NDArray[np.generic]) -> bytes:
    """units.parquet: unit_id (text), label (int64, or text for answers)."""
    integral = labels.dtype.kind in "iu"
    label = pa.array(labels.astype(np.int64)) if integral else pa.array([str(x) for x in labels], pa.string())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"unit_id": pa.array(unit_ids, pa.string()), "label": label}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def decode_units(data: bytes, what: str) -> tuple[list[str], NDArray[np.generic]]:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        size = sum(file.metadata.row_group(g).total_byte_size for g in range(file.num_row_groups))
        if size > MAX_ROW_GROUP_BYTES:
            raise StoreError(f"{what}: {size:,} bytes of unit ids and labels")
        table = file.read()
        labels, ids = table.column("label"), table.column("unit_id")
        if labels.null_count or ids.null_count:
            raise StoreError(f"{what}: empty unit ids or labels")
        if pa.types.is_integer(labels.type):
            values: NDArray[np.generic] = labels.to_numpy().astype(np.int64, copy=False)
        else:
            values = np.array(labels.cast(pa.string()).to_pylist(), dtype=np.str_)
        return ids.cast(pa.string()).to_pylist(), values
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise StoreError(f"{what}: not a readable list of units ({str(error).splitlines()[0]})") from error
