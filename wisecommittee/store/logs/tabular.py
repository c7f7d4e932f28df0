"""Tables of other programs in blocks of rows: csv (plain or packed), Parquet, Arrow. Memory does not grow with them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, WiseCommitteeError
from wisecommittee.store.logs.csv_rows import csv_blocks, csv_headings
from wisecommittee.store.logs.opening import beginning, plain_name

TABLES = ("*.csv", "*.parquet", "*.arrow")
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


@dataclass(frozen=True, slots=True)
class Block:
    """n rows of a table, at most MOST_RECORDS.

    file : as messages name it. lines : int64 [n], the line (csv) or the row from 1 at which each begins; `noun` says
    which. cells : {heading: n cells}; text in a csv, where '' is an empty cell.
    """

    file: str
    noun: str
    lines: NDArray[np.int64]
    cells: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        return f"{self.file}: {self.noun} {self.lines[row]:,}"

    def texts(self, heading: str) -> list[str | None]:
        """A column as text; None for an empty cell. Whole numbers lose their fraction: 3.0 is '3'."""
        return [_text(value) for value in self.cells[heading]]

    def numbers(self, heading: str, least: float = -math.inf, most: float = math.inf) -> NDArray[np.float64]:
        """A column as finite numbers from `least` to `most`; NaN for an empty cell."""
        cells = self.cells[heading]
        try:
            values = np.asarray(cells, np.float64)
        except (ValueError, TypeError):
            values = np.array([self._number(row, heading) for row in range(len(self))], np.float64)
        wrong = ~(np.isnan(values) | ((values >= least) & (values <= most) & np.isfinite(values)))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            bounds = "a finite number" if least == -math.inf else f"a number from {least:g}"
            bounds += f" to {most:g}" if most < math.inf else ""
            raise ContentError(f"{self.where(row)}: {heading} {cells[row]!s:.40}; expected {bounds}")
        return values

    def _number(self, row: int, heading: str) -> float:
        value = self.cells[heading][row]
        if value is None or value == "":
            return math.nan
        try:
            return float(value)
        except (ValueError, TypeError):
            raise ContentError(
                f"{self.where(row)}: {heading} {str(value)[:40]!r}; expected a number, such as 0.77"
            ) from None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if value is None or value != value:
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float | np.floating) and value == round(value):
        return f"{value:.0f}"
    return str(value)


def headings(path: Path) -> tuple[str, ...]:
    """The headings of a table; ContentError as of `blocks`."""
    refuse_pickle(path)
    if plain_name(path).endswith(".csv"):
        return csv_headings(path)
    from wisecommittee.store.logs.columnar import schema_of

    return tuple(schema_of(path).names)


def seen_headings(path: Path) -> tuple[str, ...]:
    """The headings of a table; none for what is no table or cannot be read. Never raises."""
    try:
        if plain_name(path).endswith((".csv", ".parquet", ".arrow")):
            return headings(path)
    except (WiseCommitteeError, OSError):
        pass
    return ()


def is_of_hub(path: Path) -> bool:
    """Whether a file is a dataset as the library `datasets` writes it. Never raises."""
    if path.suffix == ".arrow":
        return True
    if path.suffix != ".parquet" or not seen_headings(path):
        return False
    from wisecommittee.store.logs.columnar import schema_of

    return b"huggingface" in (schema_of(path).metadata or {})


def blocks(path: Path, wanted: Collection[str] | None = None) -> Iterator[Block]:
    """The rows of a table in their order.

    Parameters
    ----------
    path : Path
        A .csv (also .csv.gz, .bz2, .xz), .parquet or .arrow file.
    wanted : collection of str, optional
        Headings of the columns to read; the others are left out. By default all.

    Raises
    ------
    ContentError
        The file is no such table, is damaged, or has a row with other cells than its heading.
    """
    refuse_pickle(path)
    if plain_name(path).endswith(".csv"):
        for cells, lines in csv_blocks(path, wanted):
            yield Block(str(path), "line", np.array(lines, np.int64), cells)
        return
    from wisecommittee.store.logs.columnar import columnar_blocks

    first = 1
    for cells, rows in columnar_blocks(path, wanted):
        yield Block(str(path), "row", np.arange(first, first + rows, dtype=np.int64), cells)
        first += rows


def refuse_pickle(path: Path) -> None:
    """Raise ContentError for a pickle, whatever its name."""
    if path.suffix in (".pkl", ".pickle") or beginning(path).startswith(_PICKLE):
        raise ContentError(
            f"{path}: a pickle, which can run any program when it is loaded; if you trust it, convert it once: "
            f"python -c \"import pandas; pandas.read_pickle('{path.name}').to_parquet('{path.stem}.parquet')\""
        )
