"""Learning curves of a training, from the file that `train .. --curves FILE` writes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError, ContentError, StoreError, UsageError, option
from wisecommittee.report.style import SERIES, Percent, entry, legend, stage_colors
from wisecommittee.store.parquet.tables import read_parquet

ALWAYS = ("phase", "epoch", "loss")


def learning(ax: Axes, curves: pd.DataFrame, *, measure: str | None = None) -> Axes:
    """Draw loss per epoch (dashed) and one more measure (solid, on its own axis), a line for every training phase.

    Parameters
    ----------
    ax : Axes
    curves : DataFrame
        A row per phase and epoch with the columns phase, epoch, loss and the measures of the method.
    measure : str, optional
        A column with values in [0, 1], printed in percent; by default val_accuracy, else accuracy, if there is one.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        `curves` has no such measure.
    """
    known = [name for name in curves.columns if name not in (*ALWAYS, "lr", "seconds")]
    if measure is not None and measure not in known:
        raise UsageError(f"curves: no measure {measure!r}; measured: {', '.join(known) or 'the loss alone'}")
    measure = measure or next((name for name in ("val_accuracy", "accuracy") if name in known), None)
    phases = list(dict.fromkeys(curves["phase"]))
    few = len(phases) <= len(SERIES)
    colors = [SERIES[i][0] for i in range(len(phases))] if few else stage_colors(len(phases))
    losses = ax.twinx() if measure else ax
    for i, (phase, color) in enumerate(zip(phases, colors, strict=True)):
        rows = curves[curves["phase"] == phase]
        named = few or i in (0, len(phases) - 1)
        if measure:
            ax.plot(
                rows["epoch"], rows[measure], "-", color=color, linewidth=1.4, label=entry(phase) if named else None
            )
        losses.plot(
            rows["epoch"], rows["loss"], "--", color=color, linewidth=0.9, alpha=0.8,
            label=entry(phase) if named and not measure else None,
        )  # fmt: skip
    if measure:
        ax.plot([], [], "--", color="0.35", linewidth=0.9, label="loss (right)")
        ax.set_ylabel(f"{measure.replace('_', ' ')} (%)")
        ax.yaxis.set_major_formatter(Percent())
        ax.set_zorder(losses.get_zorder() + 1)
        ax.patch.set_visible(False)
        losses.spines[["top"]].set_visible(False)
    losses.set_ylabel("training loss")
    finite = curves["loss"][np.isfinite(curves["loss"])]
    losses.set_ylim(bottom=min(0.0, float(finite.min())) if len(finite) else 0.0)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top"]].set_visible(False)
    return legend(ax, twin=losses if measure else None)


def gather(study: Study) -> dict[str, Any]:
    """The learning curves in the file that the user named."""
    if study.curves is None:
        raise UsageError(
            f"learning curves come from a file; name it with {option('curves')} (`wisecommittee train .. --curves "
            "FILE` writes it)"
        )
    return {"curves": read_curves(study.curves)}


def read_curves(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The learning curves in a file, checked: columns phase, epoch, loss and measures."""
    name = repr(str(path))
    try:
        curves = read_parquet(path).to_pandas(ignore_metadata=True)
    except AbsentError:
        raise AbsentError(f"{name}: no such file; `wisecommittee train .. --curves FILE` writes one") from None
    except StoreError as error:
        raise ContentError(f"{name} is no file of learning curves ({error})") from error
    columns = list(curves.columns)
    if missing := [column for column in ALWAYS if column not in columns]:
        raise ContentError(f"{name} is no file of learning curves: column {', '.join(missing)} is missing")
    if len(set(columns)) != len(columns):
        raise ContentError(f"{name} is no file of learning curves: two columns of one name")
    numbers = [column for column in columns if column != "phase" and pd.api.types.is_numeric_dtype(curves[column])]
    if not len(curves) or not {"epoch", "loss"} <= set(numbers):
        raise ContentError(f"{name}: no epochs in it, or epoch and loss are no numbers")
    if not all(isinstance(phase, str) for phase in curves["phase"]):
        raise ContentError(f"{name}: phases are {curves['phase'].dtype}; expected their names")
    return curves[["phase", *numbers]]
