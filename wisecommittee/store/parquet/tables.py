"""Parquet files of other programs -> pyarrow tables. The unpacked size is first added up from the page headers.

A dictionary may hold one long text that a million rows refer to: text is read as a dictionary and measured before it
is spelled out.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wisecommittee.errors import StoreError, WiseCommitteeError, first_line
from wisecommittee.reading import check_claim, check_memory, open_regular
from wisecommittee.store.parquet.footer import check_footer
from wisecommittee.store.parquet.pages import Page, pages, value_width
from wisecommittee.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd

TEXT_ROW = 64  # bytes of a short text as a Python object
REMEDY = "if it is right, write it with compression=None, use_dictionary=False"


def read_parquet(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a Parquet file, or these of its columns; text and numbers as they are, no dictionaries, no index.

    StoreError for any other file, and for a file that claims to unpack to more than memory, or to more than its size
    makes plausible.
    """
    what = os.fspath(path)
    with open_regular(path) as source:
        try:
            file = open_parquet(source, dictionaries=True)
            check_unpacked(source, file, range(file.num_row_groups), columns, what)
            table = file.read(columns, use_threads=False)
            table.validate(full=True)  # text is UTF-8, indices lie within their dictionary
            metadata = table.schema.metadata or {}
            table = table.replace_schema_metadata({name: text for name, text in metadata.items() if name != b"pandas"})
            return _spelled_out(table, what, os.fstat(source.fileno()).st_size)
        except WiseCommitteeError:
            raise
        except Exception as error:  # pyarrow raises kinds of its own, OSError, ValueError, KeyError, ..
            reason = first_line(error)
            raise StoreError(f"{what}: not a readable Parquet file ({reason}); write it again") from error


def write_parquet(path: str | os.PathLike[str], frame: pd.DataFrame, metadata: Mapping[bytes, bytes]) -> None:
    """Write a frame as a Parquet file with this metadata; StoreError where it cannot be written."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(dict(metadata))
    with written_whole(path, StoreError) as file:
        pq.write_table(table, file, write_page_checksum=True)


def open_parquet(source: BinaryIO, *, dictionaries: bool = False) -> pq.ParquetFile:
    """An open Parquet file whose footer is safe for pyarrow. dictionaries : read all flat text as dictionaries."""
    check_footer(source)
    metadata = pq.read_metadata(source)
    plain = pq.ParquetFile(source, metadata=metadata).schema_arrow if dictionaries else ()
    text = [field.name for field in plain if _is_text(field.type)]
    return pq.ParquetFile(source, metadata=metadata, read_dictionary=text, page_checksum_verification=True)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def check_unpacked(
    source: BinaryIO, file: pq.ParquetFile, groups: Iterable[int], columns: Sequence[str] | None, what: str
) -> None:
    """Raise unless these row groups, of these columns, unpack to a plausible size that fits into memory."""
    claimed = 0
    flat = {field.name for field in file.schema_arrow if pa.types.is_dictionary(field.type)}
    with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for group in groups:
            metadata = file.metadata.row_group(group)
            for leaf in range(metadata.num_columns if metadata.num_rows else 0):
                chunk, column = metadata.column(leaf), file.schema.column(leaf)
                if columns is None or chunk.path_in_schema.partition(".")[0] in columns:
                    claimed += _unpacked(data, chunk, column, metadata.num_rows, chunk.path_in_schema in flat)
    check_claim(claimed, os.fstat(source.fileno()).st_size, what, REMEDY)


def _unpacked(data: mmap.mmap, chunk: Any, column: Any, rows: int, referred: bool) -> int:
    """Bytes that a column of a row group takes. referred : text that is read as a dictionary and spelled out later."""
    pages_read = list(pages(data, chunk))
    values = sum(page.values for page in pages_read if not page.is_dictionary)
    if values != chunk.num_values or (not column.max_repetition_level and values != rows):
        raise ValueError(f"{chunk.path_in_schema}: {values:,} values in its pages, {rows:,} rows")
    if width := value_width(column):
        return values * width
    unpacked = sum(page.unpacked for page in pages_read)
    longest = (
        0
        if referred
        else max((longest_text(data, p, chunk.compression) for p in pages_read if p.is_dictionary), default=0)
    )
    return unpacked + values * TEXT_ROW + longest * sum(page.values for page in pages_read if page.refers)


def longest_text(data: mmap.mmap, page: Page, compression: str) -> int:
    """Bytes of the longest text of a dictionary."""
    check_memory(page.unpacked, "a dictionary of texts", REMEDY)
    packed = data[page.at : page.at + page.packed]
    codec = {"UNCOMPRESSED": None, "LZ4": "lz4_raw"}.get(compression, compression.lower())
    texts = packed if codec is None else pa.decompress(packed, page.unpacked, codec, asbytes=True)
    at = longest = 0
    while at < len(texts):
        length = int.from_bytes(texts[at : at + 4], "little")
        at, longest = at + 4 + length, max(longest, length)
    return longest


def _spelled_out(table: pa.Table, what: str, size: int) -> pa.Table:
    """The table without dictionaries."""
    spelled = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            lengths = np.diff(_offsets(chunk.dictionary))
            indices = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
            spelled += int(lengths[indices].sum())
    check_claim(spelled, size, what, REMEDY)
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            chunks = [chunk.dictionary_decode() for chunk in table.column(index).chunks]
            plain = pa.chunked_array(chunks, field.type.value_type)
            table = table.set_column(index, field.with_type(plain.type), plain)
    return table


def _offsets(texts: pa.Array) -> np.ndarray:
    """int [n + 1]: where each text begins among the bytes of all."""
    wide = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    kind = np.int64 if wide else np.int32
    return np.frombuffer(texts.buffers()[1], kind)[texts.offset : texts.offset + len(texts) + 1]
