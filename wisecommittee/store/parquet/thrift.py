"""Thrift's compact protocol, in which Parquet writes its footer and page headers: bytes -> {field id: (kind, value)}.

Every length is checked against the bytes that are left. ValueError if the bytes are no such struct.
"""

from __future__ import annotations

from typing import Any

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
BITS = {I16: 16, I32: 32, I64: 64}
MAX_DEPTH = 12  # nesting of structs and lists; Parquet's own reach 8

Struct = dict[int, tuple[int, Any]]  # booleans are of kind TRUE whatever their value


def read_struct(data: bytes, at: int = 0, depth: int = MAX_DEPTH) -> tuple[Struct, int]:
    """The struct that begins at `at`, and where it ends."""
    if not depth:
        raise ValueError("nested too deeply")
    fields: Struct = {}
    last = 0
    while head := _byte(data, at):
        kind, at = head & 15, at + 1
        if head >> 4:
            last += head >> 4
        else:
            last, at = _number(data, at, I16)
        if last in fields:
            raise ValueError(f"field {last} stands twice")
        if kind in (TRUE, FALSE):
            fields[last] = TRUE, kind == TRUE
        else:
            value, at = _value(data, at, kind, depth - 1)
            fields[last] = kind, value
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in BITS:
        return _number(data, at, kind)
    if kind == STRUCT:
        return read_struct(data, at, depth)
    if kind in (LIST, SET):
        return _list(data, at, depth)
    if kind in (TRUE, FALSE, I8):  # in a list booleans are a byte each
        return _byte(data, at), at + 1
    if kind == BINARY:
        length, at = _varint(data, at)
    elif kind == DOUBLE:
        length = 8
    else:
        raise ValueError(f"a value of kind {kind}")
    if length > len(data) - at:
        raise ValueError(f"{length:,} bytes where {len(data) - at:,} are left")
    return bytes(data[at : at + length]), at + length


def _list(data: bytes, at: int, depth: int) -> tuple[tuple[int, list[Any]], int]:
    """(kind of the elements, elements)"""
    if not depth:
        raise ValueError("nested too deeply")
    head, at = _byte(data, at), at + 1
    count, kind = head >> 4, head & 15
    if count == 15:
        count, at = _varint(data, at)
    if count > len(data) - at:  # an element is a byte at least
        raise ValueError(f"{count:,} elements in {len(data) - at:,} bytes")
    elements = []
    for _ in range(count):
        element, at = _value(data, at, kind, depth - 1)
        elements.append(element)
    return (kind, elements), at


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("it ends in the middle")
    return data[at]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (_byte(data, at) & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _number(data: bytes, at: int, kind: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    value = (value >> 1) ^ -(value & 1)
    if not -(1 << BITS[kind] - 1) <= value < 1 << BITS[kind] - 1:
        raise ValueError(f"{value:,} in {BITS[kind]} bits")
    return value, at
