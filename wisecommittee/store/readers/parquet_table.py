"""Parquet -> DataFrame with the columns of the file, whatever its metadata says of an index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from wisecommittee.errors import ContentError
from wisecommittee.reading import FRONTIER, recognised
from wisecommittee.store.parquet.tables import read_parquet

if TYPE_CHECKING:
    import pandas as pd

_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet_table(path: Path) -> pd.DataFrame:
    table = read_parquet(path)
    if FRONTIER in (table.schema.metadata or {}):
        raise ContentError(f"{path}: {recognised(path)}; expected a table of labels, outputs or answers")
    if "unit_id" in table.column_names:  # then the unnamed index that pandas wrote is dropped
        table = table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)])
    return table.to_pandas(use_threads=False, ignore_metadata=True)
