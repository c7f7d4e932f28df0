"""Learning curves: the rows that a training logs, as a table and in a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from wisecommittee.train.loop import CurveRow
from wisecommittee.writing import written_whole


def curves_frame(rows: Sequence[CurveRow]) -> pd.DataFrame:
    """One row per phase and epoch: phase, epoch, loss, what the method measures (such as accuracy), lr, seconds."""
    return pd.DataFrame(list(rows))


def save_curves(rows: Sequence[CurveRow], path: str | os.PathLike[str]) -> None:
    """Write learning curves; `report.plot` draws them from the file."""
    with written_whole(path) as file:
        curves_frame(rows).to_parquet(file, index=False)
