"""Single models with the committees of similar cost and of similar accuracy (Wang et al. 2022, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.match import Match, match
from wisecommittee.analyses.study import Study
from wisecommittee.report.style import SERIES, SHAPES, coordinates, legend, name_axes, name_points, sample

MOST_LINKED = 8  # models


def draw(ax: Axes, matches: Sequence[Match], *, quality: str = "top-1 accuracy") -> Axes:
    """Draw every single model with the committee of similar cost and the committee of similar accuracy.

    Wang et al. 2022, Fig. 5. Thin lines join a model and its two committees, unless there are too many lines to follow.
    Committees are hollow and of two sizes, so that neither hides the other.

    Parameters
    ----------
    ax : Axes
    matches : sequence of Match
        Drawn on the reporting split if there is one.
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.
    """
    singles = [m.single.best for m in matches]
    costly = [m.similar_cost.best for m in matches]
    good = [m.similar_quality.best for m in matches]
    for single, *others in zip(singles, costly, good, strict=True):
        for e in others if len(matches) <= MOST_LINKED else ():
            ax.plot(*coordinates([single, e]), color="0.75", linewidth=0.8, zorder=1)
    black, diamond, _ = SHAPES["single"]
    ax.plot(*coordinates(singles), color=black, marker=diamond, markersize=4, linestyle="none", label="single model")
    for (color, marker, _), committees, size, label in (
        (SERIES[0], costly, 8, "committee of similar cost"),
        (SERIES[2], good, 11, "committee of similar accuracy"),
    ):
        ax.plot(*coordinates(committees), color=color, marker=marker, markersize=size, linestyle="none", label=label,
                markerfacecolor="none", markeredgewidth=1.4, zorder=3)  # fmt: skip
    name_axes(ax, singles[0].committee.cost, coordinates([*singles, *costly, *good])[0])
    ax.set_ylabel(f"{quality} (%) on {sample(singles)}")
    name_points(ax, singles, {})
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The matches of the study's models."""
    return {"matches": match(study), "quality": study.quality}
