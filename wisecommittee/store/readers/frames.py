"""Tables of other programs: their columns as text or numbers, checked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, StoreError, UsageError, counted, first_line
from wisecommittee.store.readers.formats import Array, read_file

if TYPE_CHECKING:
    import pandas as pd


def read_table(file: str | os.PathLike[str], text: tuple[str, ...] = (), blank: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table with at least one row and no heading twice; '' is the heading of a column that has none.

    text : columns that are always text; whole floating point numbers lose their fraction. blank : columns of `text` in
    which an empty value is the empty text.
    """
    content = read_file(file)
    if isinstance(content, Array):
        raise UsageError(f"{file}: an array without headings; expected a table, .csv or .parquet")
    return as_text(content, file, text, blank)


def as_text(
    table: pd.DataFrame, file: str | os.PathLike[str], text: tuple[str, ...], blank: tuple[str, ...] = ()
) -> pd.DataFrame:
    """A table with these columns as text (see `read_table`)."""
    for name in set(text) & set(table.columns):
        column = table[name].astype(object).fillna("") if name in blank else table[name]
        table[name] = _as_text(column, name, Path(file))
    return table


def _as_text(column: pd.Series, name: str, path: Path) -> pd.Series:
    """Cells as text without outer white space; bytes are UTF-8, and whole floating point numbers are whole."""
    if column.isna().any():
        raise ContentError(
            f"{path}: column {name} has {counted(int(column.isna().sum()), 'empty value')}; expected a value in each "
            f"row"
        )
    if column.dtype.kind == "f" and (column == column.round()).all():
        column = column.map(lambda value: f"{value:.0f}")
    return column.map(lambda value: _decoded(value, name, path) if isinstance(value, bytes) else str(value)).str.strip()


def _decoded(value: bytes, name: str, path: Path) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ContentError(f"{path}: column {name} holds bytes {value[:20]!r}; expected text in UTF-8") from None


def unit_ids(table: pd.DataFrame, file: str | os.PathLike[str]) -> list[str] | None:
    """Column unit_id as text, None if there is none; '0.0', '1.0', .. become '0', '1', .. if all ids have this form."""
    if "unit_id" not in table.columns:
        return None
    ids = table["unit_id"]
    if (blank := ids == "").any():
        raise ContentError(f"{file}: unit_id is empty in row {int(np.flatnonzero(blank)[0])}; expected one in each row")
    if ids.str.fullmatch(r"\d+\.0+").all():
        ids = ids.str.replace(r"\.0+$", "", regex=True)
    return ids.tolist()


def named_column(table: pd.DataFrame, name: str, file: str | os.PathLike[str]) -> pd.Series:
    if name not in table.columns:
        shown = ", ".join(heading or "(no heading)" for heading in map(str, table.columns[:12]))
        near = next((heading for heading in table.columns if str(heading).casefold() == name), None)
        hint = f"; write {near!r} as {name!r}" if near else ""
        if all(re.fullmatch(r"-?[\d.]+", str(heading)) for heading in table.columns):
            hint = "; its first row was taken as headings: write headings above it"
        raise StoreError(f"{file}: no column {name!r}; columns: {shown}{hint}")
    return table[name]


def numbers(column: pd.Series, what: str) -> NDArray[np.float64]:
    """A column as float64 [n]; an empty cell is NaN, which the store refuses (checks.py)."""
    import pandas as pd

    try:
        return pd.to_numeric(column).to_numpy(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        for row, value in enumerate(column):
            try:
                float(value)
            except (ValueError, TypeError, OverflowError):
                raise ContentError(
                    f"{what}: {str(value)[:40]!r} in row {row}; expected a number, such as 0.77"
                ) from error
        raise ContentError(f"{what}: {first_line(error)}; expected numbers") from error
