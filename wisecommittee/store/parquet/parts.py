"""One part of a model as Parquet bytes, and back.

Columns: unit_id (text); outputs FixedSizeList<float32 | float16>[C], or answer (text) with quality (float32) if graded;
score_<name> (float32) and cost_<name> (float64). Row groups of 5,000 rows, fewer where rows are long. Before a group is
decompressed its page headers are read: what it would unpack to has to fit its rows.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from wisecommittee.errors import AlignmentError, ContentError, StoreError, first_line
from wisecommittee.store import checks
from wisecommittee.store.parquet.footer import check_footer
from wisecommittee.store.parquet.pages import pages, value_width
from wisecommittee.tasks.text import comparable

ROW_GROUP = 5_000
ROW_GROUP_BYTES = 256 << 20  # of outputs; what a writer holds at a time
MAX_NUMBERS_BYTES = 1 << 30  # of one numeric column of a group, unpacked
MAX_TEXT_BYTES = 256 << 20  # of one text column of a group, unpacked
ANY_TEXT_BYTES = 16 << 20  # .. if its bytes in the file are few
MAX_UNITS = 50_000_000
ANY_UNITS, UNITS_PER_BYTE = 100_000, 10  # rows a file may always have, and for each byte beyond: ids take 0.6 or more
ANY_SIZE = 256 << 20  # bytes that a part may always unpack to
MOST_UNPACKED = 4000  # times its size, beyond: the certain answers 0 and 1 of 7,000 classes are compressed 2,000 times
CONTENT_MODULUS = 1 << 256


def row_group_rows(classes: int | None) -> int:
    """Rows of a group: 5,000, or as many as make 256 MB of outputs."""
    return max(1, min(ROW_GROUP, ROW_GROUP_BYTES // (4 * (classes or 1))))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one model. unit_ids [n] text; outputs [n, C] or answers [n] text; scores, unit costs, quality [n]."""

    unit_ids: list[str]
    outputs: NDArray[np.floating] | None = None
    answers: list[str] | None = None
    quality: NDArray[np.float32] | None = None
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    unit_costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.unit_ids)

    @property
    def columns(self) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
        """Names of the scores, names of the unit costs, and whether answers are graded."""
        return tuple(sorted(self.scores)), tuple(sorted(self.unit_costs)), self.quality is not None

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

    def stored(self, dtype: np.dtype) -> Rows:
        """The same rows with outputs as they are stored; a copy only if the type differs."""
        if self.outputs is None or self.outputs.dtype == dtype:
            return self
        return with_fields(self, outputs=self.outputs.astype(dtype))

    def copy(self) -> Rows:
        """The same rows, which no longer change with the arrays they were made of."""
        return Rows(
            self.unit_ids,
            None if self.outputs is None else self.outputs.copy(),
            self.answers,
            None if self.quality is None else self.quality.copy(),
            {name: column.copy() for name, column in self.scores.items()},
            {name: column.copy() for name, column in self.unit_costs.items()},
        )


def make_rows(
    what: str,
    unit_ids: Iterable[Any],
    outputs: ArrayLike | None = None,
    *,
    answers: Iterable[Any] | None = None,
    quality: ArrayLike | None = None,
    scores: Mapping[str, ArrayLike] | None = None,
    unit_costs: Mapping[str, ArrayLike] | None = None,
) -> Rows:
    """Rows of what a caller gave; outputs are not copied."""
    return Rows(
        checks.as_text(unit_ids, "unit id", what),
        None if outputs is None else checks.as_array(outputs, "outputs", what),
        None if answers is None else [comparable(text) for text in checks.as_text(answers, "answer", what)],
        None if quality is None else checks.as_column(quality, np.float32, "score", what),
        {name: checks.as_column(c, np.float32, f"score {name!r}", what) for name, c in (scores or {}).items()},
        {name: checks.as_column(c, np.float64, f"cost {name!r}", what) for name, c in (unit_costs or {}).items()},
    )


def check_values(
    what: str, kind: str, rows: Rows, *, dtype: str = "float32", first: int = 0, warn: bool = False
) -> None:
    """Everything the gate asks of rows by themselves. first : the number of the first row in messages."""
    n = len(rows)
    if (rows.outputs is None) == (rows.answers is None):
        raise ContentError(f"{what}: expected either outputs or answers")
    if (kind == "answers") != (rows.answers is not None):
        given = "outputs" if rows.answers is None else "answers"
        raise ContentError(f"{what}: declared as {kind}, but {given} are given; expected what the card says")
    for noun, values in (("outputs", rows.outputs), ("answers", rows.answers)):
        if values is not None and len(values) != n:
            raise AlignmentError(f"{what}: {len(values):,} {noun} for {n:,} units; expected one row for each")
    for noun, texts in (("unit id", rows.unit_ids), ("answer", rows.answers or [])):
        checks.check_texts(texts, noun, what)
    if rows.outputs is not None:
        checks.check_outputs(rows.outputs, kind, what, dtype=dtype, warn=warn, first=first)
    if rows.quality is not None:
        if rows.answers is None:
            raise ContentError(f"{what}: a score for outputs; graded quality belongs to answers")
        checks.check_column(rows.quality, n, f"{what}: score", least=0.0, most=1.0)
    for name, score in rows.scores.items():
        checks.check_column(score, n, f"{what}: score {name!r}")
    for name, costs in rows.unit_costs.items():
        checks.check_column(costs, n, f"{what}: cost {name!r}", least=0.0)


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
    columns: list[NDArray[np.generic]] = []
    if rows.outputs is not None:
        columns.append(np.ascontiguousarray(rows.outputs, dtype="<f4"))
    if rows.quality is not None:
        columns.append(np.ascontiguousarray(rows.quality, dtype="<f4"))
    columns += [np.ascontiguousarray(rows.scores[name], dtype="<f4") for name in sorted(rows.scores)]
    columns += [np.ascontiguousarray(rows.unit_costs[name], dtype="<f8") for name in sorted(rows.unit_costs)]
    views = [(c.reshape(-1).view(np.uint8).data, c.nbytes // max(len(rows), 1)) for c in columns]
    total = 0
    for i, unit in enumerate(rows.unit_ids):
        digest = hashlib.blake2b(unit.encode() + b"\0", digest_size=32)
        for view, width in views:
            digest.update(view[i * width : (i + 1) * width])
        if rows.answers is not None:
            digest.update(rows.answers[i].encode())
        total += int.from_bytes(digest.digest(), "little")
    return total % CONTENT_MODULUS


def content_hash(content: int) -> str:
    return f"{content % CONTENT_MODULUS:064x}"


def units_hash(unit_ids: Sequence[str], labels: NDArray[np.generic]) -> str:
    """sha256 of the units of a split: ids and labels, in their order."""
    digest = hashlib.sha256()
    integral = labels.dtype.kind in "iu"
    for texts in (unit_ids, [] if integral else labels.tolist()):
        digest.update(np.fromiter(map(len, texts), "<u4", len(texts)).tobytes())
        digest.update("".join(texts).encode())
    digest.update(labels.astype("<i8").tobytes() if integral else b"text")
    return digest.hexdigest()


def check_expansion(unpacked: int, packed: int, what: str) -> None:
    """Raise unless outputs of so many bytes can be what is compressed in so few."""
    if unpacked > max(ANY_SIZE, MOST_UNPACKED * packed):
        raise ContentError(
            f"{what}: {packed:,} bytes that unpack to {unpacked / 1e9:,.1f} GB; expected at most "
            f"{MOST_UNPACKED:,} times as many, as of outputs that differ from unit to unit; remove the model"
        )


# Writing


class Encoder:
    """A part that grows by row groups; it holds their compressed bytes only."""

    def __init__(self) -> None:
        self.rows = 0
        self._sink = pa.BufferOutputStream()
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: Rows) -> None:
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


def _table(rows: Rows) -> pa.Table:
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


def encode_units(unit_ids: list[str], labels: NDArray[np.generic]) -> bytes:
    """units.parquet: unit_id (text), label (int64, or text for answers)."""
    integral = labels.dtype.kind in "iu"
    label = pa.array(labels.astype(np.int64)) if integral else pa.array([str(x) for x in labels], pa.string())
    sink = pa.BufferOutputStream()
    table = pa.table({"unit_id": pa.array(unit_ids, pa.string()), "label": label})
    pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd", use_dictionary=["label"])
    return sink.getvalue().to_pybytes()


def encode_texts(columns: Mapping[str, Sequence[str]]) -> bytes:
    """Parquet of text columns of one length."""
    sink = pa.BufferOutputStream()
    table = pa.table({name: pa.array(list(values), pa.string()) for name, values in columns.items()})
    pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


# Reading


def decode(data: bytes, what: str, classes: int | None) -> Iterator[Rows]:
    """The rows of a part, one row group at a time; outputs [n, classes] as stored, or answers if that is None.

    Foreign or damaged bytes are a StoreError.
    """
    try:
        for table in _groups(data, what, _is_part_column, classes):
            yield _rows(table, what, classes)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{what}: not a readable part ({first_line(error)}); extract or import it again") from error
    finally:
        pa.default_memory_pool().release_unused()  # it would keep what a row group took, in each thread that decodes


def decode_units(data: bytes, what: str) -> tuple[list[str], NDArray[np.generic]]:
    """Unit ids [N] text and labels [N] int64, or text for answers."""
    unit_ids: list[str] = []
    numbers: list[NDArray[np.int64]] = []
    texts: list[str] = []
    try:
        for table in _groups(data, what, lambda name: name in ("unit_id", "label")):
            if table.num_columns != 2:
                raise StoreError(f"{what}: only column {table.column_names[0]}; expected unit_id and label")
            unit_ids += _text(table.column("unit_id"), what)
            label = table.column("label")
            if pa.types.is_integer(label.type):
                numbers.append(_numbers(label).astype(np.int64))
            else:
                texts += _text(label, what)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(
            f"{what}: not a readable list of units ({first_line(error)}); "
            f"restore it, or remove the models of the split and import them again"
        ) from error
    return unit_ids, checks.text_array(texts, what) if texts or not numbers else np.concatenate(numbers)


def decode_texts(data: bytes, what: str) -> dict[str, list[str]]:
    """{column: text [N]} of what encode_texts made."""
    columns: dict[str, list[str]] = {}
    try:
        for table in _groups(data, what, lambda name: True):
            for name in table.column_names:
                columns.setdefault(name, []).extend(_text(table.column(name), what))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(
            f"{what}: not readable ({first_line(error)}); remove it, or import the labels again"
        ) from error
    return columns


def _rows(table: pa.Table, what: str, classes: int | None) -> Rows:
    names = table.column_names
    if not {"unit_id", "outputs" if classes else "answer"} <= set(names) or {"outputs", "answer"} <= set(names):
        expected = "outputs" if classes else "answer"
        raise StoreError(f"{what}: columns {', '.join(names)}; expected unit_id and {expected}")

    def column(name: str, dtype: type[np.floating]) -> NDArray[Any]:
        kind = table.schema.field(name).type
        if not pa.types.is_floating(kind):
            raise StoreError(f"{what}: column {name} is {kind}; expected numbers")
        return _numbers(table.column(name)).astype(dtype, copy=False)

    outputs = None
    if "outputs" in names:
        lists = table.column("outputs")
        values = pa.chunked_array([chunk.flatten() for chunk in lists.chunks], lists.type.value_type)
        if values.null_count or len(values) != len(table) * (classes or 0):
            raise ContentError(f"{what}: outputs have empty values; extract or import it again")
        outputs = _numbers(values).reshape(len(table), -1)
    return Rows(
        _text(table.column("unit_id"), what),
        outputs,
        _text(table.column("answer"), what) if "answer" in names else None,
        column("quality", np.float32) if "quality" in names else None,
        {n.removeprefix("score_"): column(n, np.float32) for n in names if n.startswith("score_")},
        {n.removeprefix("cost_"): column(n, np.float64) for n in names if n.startswith("cost_")},
    )


def _is_part_column(name: str) -> bool:
    return name in ("unit_id", "outputs", "answer", "quality") or name.startswith(("score_", "cost_"))


def _text(column: pa.ChunkedArray, what: str) -> list[str]:
    """Text as Python strings; equal ones of a dictionary are one object."""
    out: list[str] = []
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            words = _strings(chunk.dictionary)
            out += [words[i] for i in chunk.indices.to_pylist()]
        else:
            out += _strings(chunk)
    checks.check_texts(out, "text", what)
    return out


def _strings(array: pa.Array) -> list[str]:
    """A cast loads pyarrow's compute functions, so only where there is something to cast."""
    return (array if pa.types.is_string(array.type) else array.cast(pa.string())).to_pylist()


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column without empty values. pyarrow's own way would load pandas, a quarter of a second."""
    numbers: list[NDArray[Any]] = [np.from_dlpack(chunk) for chunk in column.chunks]
    return numbers[0] if len(numbers) == 1 else np.concatenate(numbers)


def _groups(data: bytes, what: str, known: Callable[[str], bool], classes: int | None = None) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, each checked before it is unpacked, without empty values."""
    check_footer(io.BytesIO(data))
    metadata = pq.read_metadata(pa.BufferReader(data))
    leaves = [metadata.schema.column(i) for i in range(metadata.num_columns)]
    text = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and not leaf.max_repetition_level]
    file = pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=text)
    for field_ in file.schema_arrow:
        if not known(field_.name):
            raise StoreError(f"{what}: column {field_.name!r} is not one of a store's; extract or import it again")
        kind = field_.type
        vectors = pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)
        if vectors != (field_.name == "outputs") or (pa.types.is_nested(kind) and not vectors):
            raise StoreError(
                f"{what}: column {field_.name!r} is {kind}; expected outputs as a fixed-size list of float32 or "
                f"float16, text and numbers otherwise; extract or import it again"
            )
        if vectors and kind.list_size != classes:
            raise StoreError(f"{what}: {kind.list_size:,} classes; its card says {classes or 'answers'}")
        if vectors:
            check_expansion(metadata.num_rows * kind.list_size * kind.value_type.bit_width // 8, len(data), what)
    if len(set(file.schema_arrow.names)) != len(file.schema_arrow.names):
        raise StoreError(f"{what}: two columns of one name; extract or import it again")
    most = min(MAX_UNITS, ANY_UNITS + UNITS_PER_BYTE * len(data))
    if metadata.num_rows > most:
        raise StoreError(f"{what}: {metadata.num_rows:,} rows in {len(data):,} bytes; expected {most:,} at most")
    for group in range(file.num_row_groups):
        if not metadata.row_group(group).num_rows:
            continue
        _check_sizes(data, file, group, what)
        # A pool thread that outlives the interpreter aborts it while it releases these bytes.
        table = file.read_row_group(group, use_threads=False)
        for name in table.column_names:
            if table.column(name).null_count:
                raise ContentError(f"{what}: column {name} has {table.column(name).null_count} empty values")
        yield table


def _check_sizes(data: bytes, file: pq.ParquetFile, group: int, what: str) -> None:
    """Add up what the pages of a row group say they unpack to, whatever the file's own summary claims."""
    metadata = file.metadata.row_group(group)
    for leaf in range(metadata.num_columns):
        chunk, column = metadata.column(leaf), file.schema.column(leaf)
        length = file.schema_arrow.field("outputs").type.list_size if column.max_repetition_level else 1
        values = unpacked = 0
        for page in pages(data, chunk):
            values += 0 if page.is_dictionary else page.values
            unpacked += page.unpacked
        width = value_width(column)
        expected = metadata.num_rows * length
        texts = min(MAX_TEXT_BYTES, ANY_TEXT_BYTES + MOST_UNPACKED * chunk.total_compressed_size)
        limit = min(MAX_NUMBERS_BYTES, 2 * expected * width + (64 << 10)) if width else texts
        if values != expected or unpacked > limit or expected * width > MAX_NUMBERS_BYTES:
            raise StoreError(
                f"{what}: row group {group} unpacks column {chunk.path_in_schema} to {values:,} values in {unpacked:,} "
                f"bytes; expected {expected:,} values in at most {limit:,}; extract or import it again"
            )
