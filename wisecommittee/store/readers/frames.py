"""Tables of other programs (csv, Parquet) as DataFrames in which every column is under the heading it was written with.

pandas would move columns into an index: the first of a csv whose rows have one cell more than its heading, and those
that a Parquet file's metadata names. Both come back as columns; without a heading they are called ''.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, StoreError, UsageError, counted, first_line
from wisecommittee.reading import FRONTIER, check_memory, open_regular, recognised
from wisecommittee.store.parquet.tables import read_parquet

if TYPE_CHECKING:
    import pandas as pd

MEMORY_OF_CSV = 5  # times its size
MOST_COLUMNS = 50_000  # of a csv: pandas takes seconds for so many, minutes for more
_INDEX = re.compile(r"__index_level_\d+__")
_NAMELESS = re.compile(r"(unnamed(: ?\d+)?(_level_\d+)?|__index_level_\d+__|level_\d+)?", re.IGNORECASE)


def read_table(file: str | os.PathLike[str], text: tuple[str, ...] = (), blank: tuple[str, ...] = ()) -> pd.DataFrame:
    """A csv (all cells as text) or Parquet table with at least one row and no heading twice.

    text : columns that are always text; whole floating point numbers lose their fraction. blank : those among them in
    which an empty value is the empty text. '' is the heading of a column that has none.
    """
    import pyarrow as pa

    path = Path(file)
    if path.suffix not in READERS:
        what = (recognised(path) if path.is_file() else None) or f"a {path.suffix or 'nameless'} file"
        raise UsageError(f"{path}: {what}; expected .npy, .npz, .csv or .parquet")
    try:
        table = READERS[path.suffix](path)
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: not UTF-8 ({error.reason} at byte {error.start:,}); save it as UTF-8") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable table ({first_line(error)})") from error
    names = [str(name).strip() for name in table.columns]
    table.columns = ["" if _NAMELESS.fullmatch(name) else name for name in names]
    if table.columns.duplicated().any():
        twice = table.columns[table.columns.duplicated()][0]
        raise StoreError(
            f"{path}: {f'column {twice!r} stands twice' if twice else 'two columns have no heading'}; "
            f"expected different headings"
        )
    if table.empty:
        raise StoreError(f"{path}: no rows")
    for name in set(text) & set(table.columns):
        table[name] = _as_text(table[name].astype(object).fillna("") if name in blank else table[name], name, path)
    return table


def _parquet(path: Path) -> pd.DataFrame:
    table = read_parquet(path)
    if FRONTIER in (table.schema.metadata or {}):
        raise ContentError(f"{path}: {recognised(path)}; expected a table of labels, outputs or answers")
    if "unit_id" in table.column_names:  # then the nameless index that pandas wrote says nothing
        table = table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)])
    return table.to_pandas(use_threads=False, ignore_metadata=True)


def _csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    options: dict[str, Any] = {
        "dtype": str,
        "keep_default_na": False,
        "skipinitialspace": True,
        "encoding": "utf-8-sig",
    }
    # Headings as they stand: pandas renames the second of two equal ones to 'x.1'.
    with open_regular(path) as source:
        _check_size(source, path)
        written = pd.read_csv(source, header=None, nrows=1, **options).iloc[0].tolist()
        source.seek(0)
        table = pd.read_csv(source, **options)
    if len(written) == 1 and (mark := re.search("[;\t|]", written[0])) is not None:
        raise ContentError(
            f"{path}: its heading is {written[0][:60]!r}, separated by {mark[0]!r}; expected commas between cells and "
            f"points in numbers"
        )
    if not isinstance(table.index, pd.RangeIndex):
        surplus = table.index.nlevels
        if surplus > 1:
            raise ContentError(
                f"{path}: its rows have {surplus} cells more than its heading; expected a heading for every column"
            )
        if (table.iloc[:, -1] == "").all():
            raise ContentError(
                f"{path}: every row ends with a comma, its heading does not; expected as many cells in both"
            )
        written = ["", *written]
        table = table.reset_index()
    table.columns = written
    return table


def _check_size(source: BinaryIO, path: Path) -> None:
    """Raise for a csv that pandas would need more memory for than there is, or minutes for its columns."""
    size = os.fstat(source.fileno()).st_size
    check_memory(MEMORY_OF_CSV * size, str(path), "save its numbers as .npy with np.save, or divide it")
    cells = max(source.readline().count(b",") + 1 for _ in ("heading", "first row"))
    if cells > MOST_COLUMNS:
        raise ContentError(
            f"{path}: {cells:,} columns; expected {MOST_COLUMNS:,} at most; save its numbers as .npy with np.save"
        )
    source.seek(0)


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _csv, ".parquet": _parquet}


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
    """Column unit_id as text, None where there is none; '0.0', '1.0', .. are 0, 1, .. if all of them are written so."""
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
    """A column as float64 [n]; an empty cell is NaN, which the gate refuses."""
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
