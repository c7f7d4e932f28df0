"""Logs as JSON: an object a line, or one in a file. Lines are bounded, and nothing in them is run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wisecommittee.errors import ContentError, counted
from wisecommittee.store.logs.opening import open_bytes

MOST_LINE = 64 << 20  # bytes of a line: a prompt of a million tokens is 5 MB
MOST_DOCUMENT = 512 << 20  # bytes of a file that is one object
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALVES = re.compile("[\ud800-\udfff]")


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines.

    NaN and Infinity are read as Python's json module writes them. Half a surrogate pair, which a model may emit when it
    stops within a character, becomes U+FFFD.

    Yields
    ------
    line : int
        From 1. Blank lines are counted and left out.
    record : dict

    Raises
    ------
    ContentError
        With the file, the line and the remedy: a line that is not an object of JSON, or is cut off, or longer than
        MOST_LINE.
    """
    with open_bytes(path) as source:
        number = 0
        while line := source.readline(MOST_LINE + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.isspace() and line:
                yield number, parsed_object(line, f"{path}: line {number:,}", MOST_LINE, line.endswith(b"\n"))


def json_document(path: Path) -> dict[str, Any]:
    """The object that a file of at most MOST_DOCUMENT bytes of JSON holds; ContentError as of `json_lines`."""
    with open_bytes(path) as source:
        return parsed_object(source.read(MOST_DOCUMENT + 1).removeprefix(b"\xef\xbb\xbf"), str(path), MOST_DOCUMENT)


def parsed_object(data: bytes, what: str, most: int, ended: bool = True) -> dict[str, Any]:
    """An object of JSON. ended : False for a last line without its line end, which may be cut off."""
    if len(data) > most:
        raise ContentError(f"{what}: more than {counted(most, 'byte')}; divide it, or leave out what is long")
    try:
        value = json.loads(data.decode())
        if _SURROGATE.search(data):
            value = _whole_characters(value)
    except UnicodeDecodeError as error:
        raise ContentError(f"{what}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except RecursionError:
        raise ContentError(f"{what}: nested too deep; expected a record of an evaluation") from None
    except ValueError as error:
        cut = "the file ends within it; " if not ended else ""
        raise ContentError(f"{what}: no JSON ({str(error)[:100]}); {cut}write the file again") from None
    if not isinstance(value, dict):
        raise ContentError(f"{what}: {type(value).__name__} {str(value)[:40]!r}; expected an object in braces")
    return value


def _whole_characters(value: Any) -> Any:
    """The value with U+FFFD in place of halves of surrogate pairs."""
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole_characters(inner) for inner in value]
    if isinstance(value, dict):
        return {_whole_characters(name): _whole_characters(inner) for name, inner in value.items()}
    return value
