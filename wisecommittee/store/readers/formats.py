"""The formats of files that outputs, labels, costs and answers may come in.

READERS maps each ending to a function from a path to an `Array` or to a table: a DataFrame with the headings of the
file. May be added: another format, as one function and its line in READERS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pyarrow as pa
from numpy.typing import NDArray

from wisecommittee.errors import StoreError, UsageError, first_line
from wisecommittee.reading import recognised
from wisecommittee.store import checks
from wisecommittee.store.readers.arrays import Npz, load_npy
from wisecommittee.store.readers.csv_table import read_csv
from wisecommittee.store.readers.parquet_table import read_parquet_table

if TYPE_CHECKING:
    import pandas as pd

_NAMELESS = re.compile(r"(unnamed(: ?\d+)?(_level_\d+)?|__index_level_\d+__|level_\d+)?", re.IGNORECASE)
ID_NAMES = ("unit_id", "unit_ids")  # of the array in a .npz file that says which unit each row is


class Array(NamedTuple):
    """values : [N, ..], memory-mapped where the format allows it; unit_ids : [N] text, None where the file has none."""

    values: NDArray[Any]
    unit_ids: list[str] | None = None


Content: TypeAlias = "Array | pd.DataFrame"


def read_npy(path: Path) -> Array:
    return Array(load_npy(path))


def read_npz(path: Path) -> Array:
    """The only array of a .npz file, and beside it, optionally, unit_id."""
    with Npz(path) as archive:
        names = [name for name in archive.names if name not in ID_NAMES]
        if len(names) != 1:
            raise StoreError(
                f"{path}: arrays {', '.join(archive.names)[:200]}; expected outputs and, optionally, unit_id"
            )
        ids = [name for name in archive.names if name in ID_NAMES]
        return Array(archive[names[0]], checks.as_text(archive[ids[0]], "unit id", str(path)) if ids else None)


READERS: dict[str, Callable[[Path], Content]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".parquet": read_parquet_table,
}


def read_file(file: str | os.PathLike[str]) -> Content:
    """The content of a file, read by the ending of its name.

    Returns
    -------
    An `Array`, or a DataFrame with at least one row, no heading twice, and '' for a column without a heading.

    Raises
    ------
    UsageError, ContentError, StoreError
        With the name of the file and the remedy.
    """
    path = Path(file)
    if path.suffix not in READERS:
        *first, last = READERS
        what = (recognised(path) if path.is_file() else None) or f"a {path.suffix or 'nameless'} file"
        raise UsageError(f"{path}: {what}; expected {', '.join(first)} or {last}")
    try:
        content = READERS[path.suffix](path)
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: not UTF-8 ({error.reason} at byte {error.start:,}); save it as UTF-8") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable table ({first_line(error)})") from error
    return content if isinstance(content, Array) else with_plain_headings(content, path)


def read_array(file: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in a file; UsageError if it holds a table."""
    content = read_file(file)
    if isinstance(content, Array):
        return content.values
    raise UsageError(f"{file}: a table; expected an array, such as .npy")


def with_plain_headings(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with stripped headings; '' replaces a heading that a program made up for a column without one."""
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
    return table
