"""The footer of a Parquet file, checked before pyarrow sees it: some damaged footers make pyarrow abort the process.

Field numbers, kinds and enumerations are those of parquet.thrift, the format's definition. Unknown fields of later
versions are accepted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from wisecommittee.store.parquet.thrift import BINARY, I16, I32, I64, LIST, STRUCT, TRUE, Struct, read_struct

MAGIC = b"PAR1"
TYPES, REPETITIONS, CONVERTED, CODECS = range(8), range(3), range(22), range(8)
ENCODINGS = (0, 2, 3, 4, 5, 6, 7, 8, 9)
REQUIRED, REPEATED = 0, 2
MAX_SCHEMA_DEPTH = 64  # pyarrow walks the tree by recursion
MAX_NUMBER = 1 << 62  # sums of two stay in 64 bits


@dataclass(frozen=True, slots=True)
class _Field:
    """kind : of the value, or of the elements where `many`; of : fields of a struct."""

    name: str
    kind: int
    needed: bool = False
    many: bool = False
    of: dict[int, _Field] | None = None


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column of the schema. repetition, definition : its highest levels."""

    type: int
    path: list[bytes]
    repetition: int
    definition: int


def _needed(name: str, kind: int, **more: Any) -> _Field:
    return _Field(name, kind, needed=True, **more)


_KEY_VALUE = {1: _needed("key", BINARY), 2: _Field("value", BINARY)}
_STATISTICS = {
    **{i: _Field(name, BINARY) for i, name in ((1, "max"), (2, "min"), (5, "max_value"), (6, "min_value"))},
    **{i: _Field(name, I64) for i, name in ((3, "null_count"), (4, "distinct_count"))},
    **{i: _Field(name, TRUE) for i, name in ((7, "is_max_value_exact"), (8, "is_min_value_exact"))},
}
_SIZES = {
    1: _Field("unencoded_byte_array_data_bytes", I64),
    2: _Field("repetition_level_histogram", I64, many=True),
    3: _Field("definition_level_histogram", I64, many=True),
}
_PAGE_ENCODING = {1: _needed("page_type", I32), 2: _needed("encoding", I32), 3: _needed("count", I32)}
_COLUMN = {
    1: _needed("type", I32),
    2: _needed("encodings", I32, many=True),
    3: _needed("path_in_schema", BINARY, many=True),
    4: _needed("codec", I32),
    5: _needed("num_values", I64),
    6: _needed("total_uncompressed_size", I64),
    7: _needed("total_compressed_size", I64),
    8: _Field("key_value_metadata", STRUCT, many=True, of=_KEY_VALUE),
    9: _needed("data_page_offset", I64),
    10: _Field("index_page_offset", I64),
    11: _Field("dictionary_page_offset", I64),
    12: _Field("statistics", STRUCT, of=_STATISTICS),
    13: _Field("encoding_stats", STRUCT, many=True, of=_PAGE_ENCODING),
    14: _Field("bloom_filter_offset", I64),
    15: _Field("bloom_filter_length", I32),
    16: _Field("size_statistics", STRUCT, of=_SIZES),
}
_CHUNK = {
    1: _Field("file_path", BINARY),
    2: _needed("file_offset", I64),
    3: _needed("meta_data", STRUCT, of=_COLUMN),
    4: _Field("offset_index_offset", I64),
    5: _Field("offset_index_length", I32),
    6: _Field("column_index_offset", I64),
    7: _Field("column_index_length", I32),
    8: _Field("crypto_metadata", STRUCT),
    9: _Field("encrypted_column_metadata", BINARY),
}
_SORTING = {1: _needed("column_idx", I32), 2: _needed("descending", TRUE), 3: _needed("nulls_first", TRUE)}
_GROUP = {
    1: _needed("columns", STRUCT, many=True, of=_CHUNK),
    2: _needed("total_byte_size", I64),
    3: _needed("num_rows", I64),
    4: _Field("sorting_columns", STRUCT, many=True, of=_SORTING),
    5: _Field("file_offset", I64),
    6: _Field("total_compressed_size", I64),
    7: _Field("ordinal", I16),
}
_ELEMENT = {
    1: _Field("type", I32),
    2: _Field("type_length", I32),
    3: _Field("repetition_type", I32),
    4: _needed("name", BINARY),
    5: _Field("num_children", I32),
    6: _Field("converted_type", I32),
    7: _Field("scale", I32),
    8: _Field("precision", I32),
    9: _Field("field_id", I32),
    10: _Field("logicalType", STRUCT),
}
_FILE = {
    1: _needed("version", I32),
    2: _needed("schema", STRUCT, many=True, of=_ELEMENT),
    3: _needed("num_rows", I64),
    4: _needed("row_groups", STRUCT, many=True, of=_GROUP),
    5: _Field("key_value_metadata", STRUCT, many=True, of=_KEY_VALUE),
    6: _Field("created_by", BINARY),
    7: _Field("column_orders", STRUCT, many=True),
    8: _Field("encryption_algorithm", STRUCT),
    9: _Field("footer_signing_key_metadata", BINARY),
}


def check_footer(source: BinaryIO) -> None:
    """Raise ValueError unless the footer of this Parquet file is safe for pyarrow."""
    size = source.seek(0, os.SEEK_END)
    if size < 12 or _read(source, 0, 4) != MAGIC or _read(source, size - 4, 4) != MAGIC:
        raise ValueError("it does not begin and end with PAR1")
    length = int.from_bytes(_read(source, size - 8, 4), "little")
    _expect(length <= size - 12, f"{length:,} bytes of it in a file of {size:,}")
    start = size - 8 - length
    fields, end = read_struct(_read(source, start, length))
    _expect(end == length, f"{end:,} bytes where {length:,} are announced")
    file = _named(fields, _FILE, "file")
    if "encryption_algorithm" in file:
        raise ValueError("it is encrypted")
    leaves = list(_leaves(file["schema"]))
    rows = 0
    for group in file["row_groups"]:
        count = len(group["columns"])
        _expect(count == len(leaves), f"{count} of {len(leaves)} columns in a row group")
        for number in ("num_rows", "total_byte_size"):
            _expect(0 <= group[number] < MAX_NUMBER, f"{number} {group[number]:,}")
        rows += group["num_rows"]
        for chunk, leaf in zip(group["columns"], leaves, strict=True):
            _check_chunk(chunk, leaf, start)
    _expect(rows == file["num_rows"], f"{file['num_rows']:,} rows, {rows:,} in its row groups")


def _read(source: BinaryIO, at: int, length: int) -> bytes:
    source.seek(at)
    return source.read(length)


def _named(fields: Struct, known: dict[int, _Field], struct: str) -> dict[str, Any]:
    """{name: value} of a struct, structs and lists in it included, each of the kind it must be."""
    values: dict[str, Any] = {}
    for number, field in known.items():
        if number not in fields:
            _expect(not field.needed, f"{struct}: no {field.name}")
            continue
        kind, value = fields[number]
        what = f"{struct}: {field.name}"
        _expect(kind == (LIST if field.many else field.kind), f"{what} is of kind {kind}")
        if field.many:
            element, value = value
            _expect(not value or element == field.kind, f"{what} holds elements of kind {element}")
        of = field.of
        if of is not None:
            value = [_named(v, of, field.name) for v in value] if field.many else _named(value, of, field.name)
        values[field.name] = value
    return values


def _leaves(schema: list[dict[str, Any]]) -> Iterator[_Leaf]:
    """The columns, of a schema in depth-first order: a group stands before its children."""
    _expect(bool(schema), "an empty schema")
    root, *elements = schema
    _expect("type" not in root and root.get("num_children", 0) >= 0, "a schema without a root")
    groups: list[
        tuple[bytes, int, int]
    ] = []  # the groups around the element, as (name, repetition level, definition level)
    missing = [root.get("num_children", 0)]  # number of children still to come: of the root and of each of these groups
    for element in elements:
        while not missing[-1]:
            missing.pop()
            _expect(bool(groups), "a schema with more elements than its groups have")
            groups.pop()
        missing[-1] -= 1
        name, children, repeats = element["name"], element.get("num_children", 0), element.get("repetition_type", -1)
        _check_element(element)
        _, repetition, definition = groups[-1] if groups else (b"", 0, 0)
        repetition, definition = repetition + (repeats == REPEATED), definition + (repeats != REQUIRED)
        if "type" in element:
            yield _Leaf(element["type"], [*(group[0] for group in groups), name], repetition, definition)
        else:
            _expect(len(groups) < MAX_SCHEMA_DEPTH, f"groups in each other more than {MAX_SCHEMA_DEPTH} deep")
            groups.append((name, repetition, definition))
            missing.append(children)
    _expect(not any(missing), "a schema with fewer elements than its groups have")


def _check_element(element: dict[str, Any]) -> None:
    what = repr(element["name"][:40])
    is_leaf, children = "type" in element, element.get("num_children", 0)
    _expect(children == 0 if is_leaf else children > 0, f"{what}: {children} children")
    _expect(element.get("type", 0) in TYPES, f"{what}: type {element.get('type')}")
    _expect(element.get("repetition_type") in REPETITIONS, f"{what}: repetition {element.get('repetition_type')}")
    _expect(element.get("converted_type", 0) in CONVERTED, f"{what}: converted type {element.get('converted_type')}")
    for number in ("type_length", "scale", "precision"):
        _expect(element.get(number, 0) >= 0, f"{what}: {number} {element.get(number)}")


def _check_chunk(chunk: dict[str, Any], leaf: _Leaf, end: int) -> None:
    """end : where the footer begins; pages lie before it."""
    column = chunk["meta_data"]
    what = ".".join(part.decode("utf-8", "replace") for part in column["path_in_schema"])[:80]
    _expect((column["type"], column["path_in_schema"]) == (leaf.type, leaf.path), f"{what}: not the schema's column")
    for levels, highest in (("repetition", leaf.repetition), ("definition", leaf.definition)):
        histogram = column.get("size_statistics", {}).get(f"{levels}_level_histogram", [])
        _expect(len(histogram) in (0, highest + 1), f"{what}: {levels} levels of {len(histogram)} kinds")
    _expect(not {"crypto_metadata", "encrypted_column_metadata"} & set(chunk), f"{what}: encrypted")
    _expect("file_path" not in chunk, f"{what}: in another file")
    _expect(column["codec"] in CODECS, f"{what}: codec {column['codec']}")
    encodings = [*column["encodings"], *(stats["encoding"] for stats in column.get("encoding_stats", []))]
    _expect(set(encodings) <= set(ENCODINGS), f"{what}: encodings {encodings}")
    for number in ("num_values", "total_uncompressed_size", "total_compressed_size"):
        _expect(0 <= column[number] < MAX_NUMBER, f"{what}: {number} {column[number]:,}")
    for offset in ("data_page_offset", "dictionary_page_offset", "index_page_offset"):
        at = column.get(offset, len(MAGIC))
        _expect(0 <= at <= end, f"{what}: {offset} {at:,}")
    for index in ("offset_index", "column_index"):
        at, size = chunk.get(f"{index}_offset", 0), chunk.get(f"{index}_length", 0)
        _expect(0 <= at <= end and 0 <= size <= end - at, f"{what}: {size:,} bytes of {index} at {at:,}")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(f"its footer is damaged ({otherwise})")
