"""csv files of other programs in blocks of rows; every cell is text."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.opening import open_text
from wisecommittee.store.logs.records import MOST_RECORDS

MOST_CELL = 16 << 20  # characters of a cell
MOST_LINE = 64 << 20


def csv_headings(path: Path) -> tuple[str, ...]:
    """The headings of a csv, each once; those of columns without one are ''."""
    with _rows(path) as reader:
        names: list[str] = next(reader, [])
    if not names:
        raise ContentError(f"{path}: empty; expected a table with headings")
    for name in names:
        if name and names.count(name) > 1:
            raise ContentError(f"{path}: two columns are headed {name!r}; expected each heading once")
    return tuple(names)


def csv_blocks(path: Path, wanted: Collection[str] | None) -> Iterator[tuple[dict[str, list[str]], list[int]]]:
    """({heading: cells}, the line at which each row begins) of blocks of at most MOST_RECORDS rows."""
    csv_headings(path)  # checks them
    with _rows(path) as reader:
        names = next(reader)
        kept = [(name, at) for at, name in enumerate(names) if name and (wanted is None or name in wanted)]
        rows: list[list[str]] = []
        lines: list[int] = []
        end = reader.line_num
        for row in reader:
            begin, end = end + 1, reader.line_num
            if len(row) != len(names):
                if not row:
                    continue
                raise ContentError(
                    f"{path}: line {begin:,}: {len(row)} cells, {len(names)} headings; expected as many; the file may "
                    f"be cut off, or a text with a comma not stand in quotes"
                )
            rows.append(row)
            lines.append(begin)
            if len(rows) == MOST_RECORDS:
                yield _cells(kept, rows), lines
                rows, lines = [], []
        if rows:
            yield _cells(kept, rows), lines


@contextmanager
def _rows(path: Path) -> Iterator[Any]:
    """A csv.reader, before its headings. Errors within it become a ContentError with the line."""
    csv.field_size_limit(MOST_CELL)
    with open_text(path) as source:
        reader = csv.reader(_lines(source, path), strict=True)
        try:
            yield reader
        except (csv.Error, UnicodeDecodeError) as damage:
            raise ContentError(f"{path}: line {reader.line_num + 1:,}: no csv in UTF-8 ({damage})") from None


def _lines(source: TextIO, path: Path) -> Iterator[str]:
    while line := source.readline(MOST_LINE + 1):
        if len(line) > MOST_LINE:
            raise ContentError(f"{path}: a line of more than {MOST_LINE:,} characters; expected a csv")
        yield line


def _cells(kept: list[tuple[str, int]], rows: list[list[str]]) -> dict[str, list[str]]:
    return {name: [row[at] for row in rows] for name, at in kept}
