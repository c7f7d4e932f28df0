"""How well confidence functions order units."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.confidence import ConfidenceCurves, curves
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import together
from wisecommittee.errors import UsageError
from wisecommittee.report.style import SERIES, Percent, entry, legend


def draw(ax: Axes, curves: ConfidenceCurves, *, quality: str = "accuracy") -> Axes:
    """Draw the accuracy within the most confident units (Wang et al. 2022, Fig. 3).

    One curve per confidence function, and an ideal one that ranks all units that are right first.

    Parameters
    ----------
    ax : Axes
    curves : ConfidenceCurves
    quality : str
        What the y axis measures.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There are more confidence functions than line styles.
    """
    if len(curves.accuracy) > len(SERIES):
        raise UsageError(f"{len(curves.accuracy)} confidences in one plot; at most {len(SERIES)} can be told apart")
    ax.plot(curves.shares, curves.ideal, color="0.45", linewidth=1.0, linestyle=(0, (1, 1)), label="ideal")
    for (name, accuracy), (color, marker, dashes) in zip(curves.accuracy.items(), SERIES, strict=False):
        style: dict[str, Any] = {"color": color, "linestyle": dashes, "linewidth": 1.3, "marker": marker}
        ax.plot(curves.shares, accuracy, markersize=4, markeredgewidth=0, markevery=10, label=entry(name), **style)
    ax.set_xlabel(f"most confident units (%) of {curves.split} (n = {curves.n:,}), {together(curves.models)}")
    ax.set_ylabel(f"{quality} within them (%)")
    ax.xaxis.set_major_formatter(Percent())
    ax.yaxis.set_major_formatter(Percent())
    ax.set_xlim(0, 1)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The first stage of the committee that the user named, else the cheapest model of the study."""
    return {"curves": curves(study), "quality": study.quality}
