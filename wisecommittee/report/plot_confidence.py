"""How well confidence functions order units."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.confidence import Curves, curves
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import together
from wisecommittee.errors import UsageError
from wisecommittee.report.style import SERIES, Percent, entry, legend


def draw(ax: Axes, curves: Curves, *, quality: str = "accuracy") -> Axes:
    """Accuracy within the most confident units for each confidence function, and ideally (Wang et al. 2022, Fig. 3)."""
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
    """The first stage of the committee named, or the cheapest of the models asked for."""
    return {"curves": curves(study), "quality": study.quality}
