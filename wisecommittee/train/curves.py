"""Learning curves: the rows a training logs, as a table and in a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wisecommittee.train.loop import Row


def curves_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per phase and epoch: phase, epoch, loss, what the method measures (such as accuracy), lr, seconds."""
    return pd.DataFrame(list(rows))


def save_curves(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write learning curves; `report.plot` draws them from the file."""
    target = Path(path)
    temporary = target.parent / f".{target.name}.{os.getpid()}"
    try:
        curves_frame(rows).to_parquet(temporary, index=False)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
