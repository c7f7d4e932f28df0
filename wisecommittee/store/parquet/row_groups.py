"""The row groups of a Parquet file of a store, each checked before it is unpacked.

Before a group is decompressed, its page headers are read: its unpacked size must fit its number of rows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, StoreError
from wisecommittee.store import checks
from wisecommittee.store.parquet.footer import check_footer
from wisecommittee.store.parquet.pages import pages, value_width

MAX_NUMBERS_BYTES = 1 << 30  # most bytes of a numeric column of a group, unpacked
MAX_TEXT_BYTES = 256 << 20  # most bytes of a text column of a group, unpacked
ANY_TEXT_BYTES = 16 << 20  # .. if its bytes in the file are few
MAX_UNITS = 50_000_000
ANY_UNITS, UNITS_PER_BYTE = 100_000, 10  # rows a file may always have, and for each byte beyond: ids take 0.6 or more
ANY_SIZE = 256 << 20  # bytes that a part may always unpack to
MOST_UNPACKED = 4000  # times its size, beyond: the certain answers 0 and 1 of 7,000 classes are compressed 2,000 times


def row_groups(data: bytes, what: str, known: Callable[[str], bool], classes: int | None = None) -> Iterator[pa.Table]:
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
    """Add up the unpacked sizes in the page headers of a row group, whatever the footer claims, and check the sums."""
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


def check_expansion(unpacked: int, packed: int, what: str) -> None:
    """Raise unless outputs of so many bytes can plausibly be compressed to so few."""
    if unpacked > max(ANY_SIZE, MOST_UNPACKED * packed):
        raise ContentError(
            f"{what}: {packed:,} bytes that unpack to {unpacked / 1e9:,.1f} GB; expected at most "
            f"{MOST_UNPACKED:,} times as many, as of outputs that differ from unit to unit; remove the model"
        )


def text_of(column: pa.ChunkedArray, what: str) -> list[str]:
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


def numbers_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column without empty values. pyarrow's own way would load pandas, a quarter of a second."""
    numbers: list[NDArray[Any]] = [np.from_dlpack(chunk) for chunk in column.chunks]
    return numbers[0] if len(numbers) == 1 else np.concatenate(numbers)
