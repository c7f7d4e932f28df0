"""Rows for programs in a file: csv, or Parquet where they are many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wisecommittee.errors import UsageError
from wisecommittee.report.formats import no_formula
from wisecommittee.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".parquet")


def check_rows(path: Path) -> None:
    """What is wrong with the name of the file is said before the work."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{str(path)!r} ends in none of {', '.join(ENDINGS)}")


def write_rows(rows: pd.DataFrame, path: Path) -> Path:
    """Parquet keeps texts as they are; in csv what a spreadsheet would compute begins with an apostrophe."""
    with written_whole(path) as file:
        if path.suffix.lower() == ".parquet":
            rows.to_parquet(file, index=False)
        else:
            safe = rows.copy()
            for name in safe.columns:
                if safe[name].dtype.kind not in "biuf":
                    safe[name] = [no_formula(str(value)) for value in safe[name]]
            safe.to_csv(file, index=False, encoding="utf-8", lineterminator="\n")
    return path
