"""One JSON object with many records in a list: read one by one, so that memory does not grow with their number."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.json_lines import MOST_LINE, parsed_object
from wisecommittee.store.logs.opening import open_bytes

MOST_HEAD = 4 << 20  # characters of all that stands before the list
_CHUNK = 1 << 20  # bytes that are read at once
# A whole text, a bracket, or the beginning of a text that goes on in the next chunk.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|"', re.DOTALL)
_BETWEEN = re.compile(r"[\s,]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_DECODER = json.JSONDecoder()


def json_records(path: Path, name: str) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """The objects of the list `name` of a file that is one JSON object.

    Parameters
    ----------
    path : Path
    name : str
        The field of the outermost object.

    Yields
    ------
    number : int
        Of the record, from 1.
    record : dict
    head : dict
        The fields of the outermost object that stand before the list.

    Raises
    ------
    ContentError
        The file is no such object, is cut off, or a record is longer than MOST_LINE.
    """
    with open_bytes(path) as source:
        scan = _Scan(source, path)
        head = scan.head(name)
        number = 1
        while (record := scan.record(f"{path}: record {number:,}")) is not None:
            yield number, record, head
            number += 1
        scan.end()


class _Scan:
    """The text of a file from `at` on, and how many brackets are open there."""

    def __init__(self, source: BinaryIO, path: Path) -> None:
        self.source, self.path = source, path
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.depth = "", 0, 0

    def head(self, name: str) -> dict[str, Any]:
        """The fields before the list of this name, with whose first record the scan goes on."""
        kept: list[str] = []
        before, token = self._token()
        while not (token == "[" and self.depth == 2 and kept[-1] == f'"{name}"' and before.strip() == ":"):
            kept += [before, token]
            if not self.depth or sum(map(len, kept)) > MOST_HEAD:
                raise ContentError(
                    f"{self.path}: no list {name!r} in its first {MOST_HEAD:,} characters; expected an object with one"
                )
            before, token = self._token()
        fields = "".join(kept[:-1]).rstrip().removesuffix(",") + "}"
        return parsed_object(fields.encode(), str(self.path), MOST_LINE)

    def record(self, what: str) -> dict[str, Any] | None:
        """The next object of the list; None at the end of the list."""
        while True:
            match = _BETWEEN.match(self.text, self.at)
            assert match is not None
            start = match.end()
            if self.text.startswith("]", start):
                self.at, self.depth = start + 1, self.depth - 1
                return None
            try:
                value, self.at = _DECODER.raw_decode(self.text, start)
                break
            except RecursionError:
                raise ContentError(f"{what}: nested too deep; expected a record of an evaluation") from None
            except ValueError as error:  # the record goes on in the next chunk, or is no JSON
                whole = len(self.text) - start > MOST_LINE
                if whole or not self._more():
                    raise ContentError(f"{what}: no JSON, cut off or too long ({str(error)[:100]})") from None
        if not isinstance(value, dict):
            raise ContentError(f"{what}: {str(value)[:40]!r}; expected an object in braces")
        if _SURROGATE.search(self.text, start, self.at):
            return parsed_object(self.text[start : self.at].encode(), what, MOST_LINE)
        return value

    def end(self) -> None:
        """Raise unless the outermost object ends."""
        while self.depth:
            self._token()

    def _token(self) -> tuple[str, str]:
        """The next text or bracket, and what stands before it."""
        while (found := _TOKEN.search(self.text, self.at)) is None or found[0] == '"':
            if len(self.text) - self.at > MOST_LINE or not self._more():
                raise ContentError(f"{self.path}: ends within its outermost object; write or fetch it again")
        before, token = self.text[self.at : found.start()], found[0]
        self.at = found.end()
        self.depth += (token in ("[", "{")) - (token in ("]", "}"))
        return before, token

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        data = self.source.read(max(_CHUNK, len(self.text) - self.at))
        try:
            self.text, self.at = self.text[self.at :] + self.decoder.decode(data, final=not data), 0
        except UnicodeDecodeError as error:
            raise ContentError(f"{self.path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
        return bool(data)
