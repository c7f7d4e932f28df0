"""csv -> DataFrame in which every cell is text and every column keeps the heading of the file.

pandas would rename the second of two equal headings, and move the first column into an index where rows have one cell
more than the heading.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from wisecommittee.errors import ContentError
from wisecommittee.reading import check_memory, open_regular

if TYPE_CHECKING:
    import pandas as pd

MEMORY_OF_CSV = 5  # memory of a csv in pandas, as a multiple of its size
MOST_COLUMNS = 50_000  # pandas takes seconds for so many, minutes for more


def read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    options: dict[str, Any] = {
        "dtype": str,
        "keep_default_na": False,
        "skipinitialspace": True,
        "encoding": "utf-8-sig",
    }
    # Headings as written: pandas renames the second of two equal ones to 'x.1'.
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
    """Raise for a csv that would not fit into memory as a DataFrame, or whose columns would take pandas minutes."""
    size = os.fstat(source.fileno()).st_size
    check_memory(MEMORY_OF_CSV * size, str(path), "save its numbers as .npy with np.save, or divide it")
    cells = max(source.readline().count(b",") + 1 for _ in ("heading", "first row"))
    if cells > MOST_COLUMNS:
        raise ContentError(
            f"{path}: {cells:,} columns; expected {MOST_COLUMNS:,} at most; save its numbers as .npy with np.save"
        )
    source.seek(0)
