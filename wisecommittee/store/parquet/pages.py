"""The page headers of a Parquet column, which state the unpacked sizes of its pages: read before pyarrow allocates
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wisecommittee.store.parquet.thrift import I32, Struct, read_struct

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_FIELDS = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_V2: 8}  # of a page header: the header of that kind of page
_REFERENCES = (2, 8)  # encodings by indices into the dictionary
_DELTA_PREFIXES = 7  # an encoding that spells long texts as short differences


@dataclass(frozen=True, slots=True)
class Page:
    """at : where its bytes begin; packed, unpacked : how many, before and after decompression; values : how many;
    is_dictionary : of the values that the pages after it refer to, if they do (`refers`)."""

    at: int
    packed: int
    unpacked: int
    values: int
    is_dictionary: bool
    refers: bool


def value_width(column: Any) -> int:
    """Bytes of one value of a pyarrow.parquet.ColumnSchema; 0 where they differ."""
    return _WIDTHS.get(column.physical_type, column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0)


def pages(data: Any, chunk: Any) -> Iterator[Page]:
    """The pages of a column, from their headers; ValueError for one that cannot be read.

    data : the bytes of the file. chunk : pyarrow.parquet.ColumnChunkMetaData.
    """
    at = chunk.data_page_offset
    if chunk.has_dictionary_page:
        at = min(at, chunk.dictionary_page_offset)
    end = at + chunk.total_compressed_size
    if not 0 < at <= end <= len(data):
        raise ValueError(f"{chunk.path_in_schema}: pages from {at} to {end} of {len(data)} bytes")
    while at < end:
        try:
            header, at = read_struct(data, at)
            kind, unpacked, packed = (_number(header, field_) for field_ in (1, 2, 3))
            page = header[_FIELDS[kind]][1]
            values, encoding = _number(page, 1), _number(page, 4 if kind == _DATA_PAGE_V2 else 2)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{chunk.path_in_schema}: a page header that cannot be read") from error
        if encoding == _DELTA_PREFIXES:
            raise ValueError(f"{chunk.path_in_schema}: texts as differences (DELTA_BYTE_ARRAY, encoding 7)")
        if min(unpacked, packed, values) < 0:
            raise ValueError(f"{chunk.path_in_schema}: a page of negative size")
        is_dictionary = kind == _DICTIONARY_PAGE
        yield Page(at, packed, unpacked, values, is_dictionary, not is_dictionary and encoding in _REFERENCES)
        at += packed


def _number(fields: Struct, field_: int) -> int:
    kind, value = fields[field_]
    if kind != I32:
        raise TypeError
    return value
