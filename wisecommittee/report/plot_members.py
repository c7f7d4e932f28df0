"""Quality over target costs for 2, 3, 4 members (Wang et al. 2022, Fig. 7)."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.members import MemberCurves, members
from wisecommittee.analyses.study import Study
from wisecommittee.errors import UsageError
from wisecommittee.report.style import SERIES, SHAPES, legend, name_axes, sample


def draw(ax: Axes, members: MemberCurves, *, quality: str = "top-1 accuracy") -> Axes:
    """Draw quality over target costs, a line per largest number of members (Wang et al. 2022, Fig. 7).

    Parameters
    ----------
    ax : Axes
    members : MemberCurves
        Drawn on the reporting split if there is one.
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There are more lines than line styles.
    """
    if len(members.curves) > len(SERIES):
        raise UsageError(f"{len(members.curves)} lines in one plot; at most {len(SERIES)} can be told apart")
    styles = ((*SHAPES["single"][:2], "-"), *SERIES)
    for (most, curve), (color, marker, dashes) in zip(members.curves.items(), styles, strict=False):
        label = "single models" if most == 1 else f"up to {most} members"
        values = [shown.best.quality for shown in curve]
        ax.plot(members.targets, values, color=color, marker=marker, linestyle=dashes, markersize=5, linewidth=1.3,
                markeredgewidth=0, label=label)  # fmt: skip
    first = members.curves[1][0].best
    name_axes(ax, first.committee.cost, members.targets)
    ax.set_xlabel(ax.get_xlabel().replace("average", "target: average"))
    ax.set_ylabel(f"{quality} (%) on {sample([first])}")
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The curves of the study over target costs."""
    return {"members": members(study), "quality": study.quality}
