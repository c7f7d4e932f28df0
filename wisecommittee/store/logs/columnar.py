"""Parquet and Arrow files of other programs in blocks of rows. Memory holds one block, not a row group.

A page of a Parquet file may refer a million times to one long text: blocks have the fewer rows the longer the longest.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from wisecommittee.errors import ContentError, WiseCommitteeError, first_line
from wisecommittee.reading import open_regular
from wisecommittee.store.logs.opening import plain_name
from wisecommittee.store.logs.records import MOST_RECORDS
from wisecommittee.store.parquet.pages import pages, value_width
from wisecommittee.store.parquet.tables import check_unpacked, longest_text, open_parquet

MOST_BLOCK = 256 << 20  # bytes of the texts of a block, if each were as long as the longest of its column
_BUFFER = 1 << 20  # bytes of a column that are read at once
_ARROW_FILE = b"ARROW1"  # the beginning of an Arrow file; an Arrow stream has none


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file; errors of pyarrow become a ContentError that names it."""
    kind = "Parquet" if plain_name(path).endswith(".parquet") else "Arrow"
    if path.suffix != f".{kind.lower()}":
        raise ContentError(f"{path}: a packed {kind} file; {kind} packs its own columns; unpack it and name that")
    try:
        with open_regular(path) as source:
            yield source
    except WiseCommitteeError:
        raise
    except Exception as error:  # pyarrow raises kinds of its own, OSError, ValueError, KeyError, ..
        raise ContentError(f"{path}: no readable {kind} file ({first_line(error)}); fetch or write it again") from error


def schema_of(path: Path) -> pa.Schema:
    """The schema of a Parquet or Arrow file."""
    with _opened(path) as source:
        if path.suffix == ".parquet":
            return open_parquet(source).schema_arrow
        return _arrow(source).schema


def columnar_blocks(path: Path, wanted: Collection[str] | None) -> Iterator[tuple[dict[str, Any], int]]:
    """({heading: cells}, number of rows) of blocks of at most MOST_RECORDS rows."""
    with _opened(path) as source:
        for batch in _parquet(source, path, wanted) if path.suffix == ".parquet" else _batches(source):
            for start in range(0, batch.num_rows, MOST_RECORDS):
                rows = batch.slice(start, MOST_RECORDS)
                rows.validate(full=True)  # text is UTF-8, indices lie within their dictionary
                names = [name for name in rows.schema.names if wanted is None or name in wanted]
                yield {name: _cells(rows.column(name)) for name in names}, rows.num_rows


def _parquet(source: BinaryIO, path: Path, wanted: Collection[str] | None) -> Iterator[pa.RecordBatch]:
    checked = open_parquet(source, dictionaries=True)  # so that texts are not counted as spelled out
    file = pq.ParquetFile(source, metadata=checked.metadata, buffer_size=_BUFFER, page_checksum_verification=True)
    columns = [name for name in file.schema_arrow.names if wanted is None or name in wanted]
    for group in range(file.num_row_groups):
        check_unpacked(source, checked, [group], columns, str(path))
        longest = _longest_texts(source, file, group, columns)
        rows = max(1, min(MOST_RECORDS, MOST_BLOCK // max(1, longest)))
        yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


def _longest_texts(source: BinaryIO, file: pq.ParquetFile, group: int, columns: Sequence[str]) -> int:
    """Bytes that a row of this row group takes at most by referring to dictionaries of texts, over these columns."""
    longest = 0
    metadata = file.metadata.row_group(group)
    with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for leaf in range(metadata.num_columns if metadata.num_rows else 0):
            chunk = metadata.column(leaf)
            if chunk.path_in_schema.partition(".")[0] in columns and not value_width(file.schema.column(leaf)):
                of_pages = (longest_text(data, p, chunk.compression) for p in pages(data, chunk) if p.is_dictionary)
                longest += max(of_pages, default=0)
    return longest


def _arrow(source: BinaryIO) -> Any:
    beginning = source.read(len(_ARROW_FILE))
    source.seek(0)
    return pa.ipc.open_file(source) if beginning == _ARROW_FILE else pa.ipc.open_stream(source)


def _batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    reader = _arrow(source)
    if isinstance(reader, pa.RecordBatchStreamReader):
        yield from reader
    else:
        yield from (reader.get_batch(at) for at in range(reader.num_record_batches))


def _cells(column: pa.Array) -> Any:
    """The cells of a column as Python values; as numbers with NaN for empty cells where they are numbers."""
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return column.to_numpy(zero_copy_only=False)
    return column.to_pylist()
