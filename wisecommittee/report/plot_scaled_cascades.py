"""A base cascade scaled up beside the models of its ladder (Wang et al. 2022, Table 15)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.scaled_cascades import ScaledCascade, scaled_cascades
from wisecommittee.analyses.study import Study
from wisecommittee.report import published as printed
from wisecommittee.report.labels import Names
from wisecommittee.report.style import PUBLISHED, SHAPES, coordinates, legend, name_axes, sample


def draw(
    ax: Axes,
    family: Sequence[ScaledCascade],
    *,
    published: dict[str, tuple[float, float]] | None = None,
    quality: str = "top-1 accuracy",
) -> Axes:
    """Draw a base cascade, its scaled-up versions and the models of its ladder (Wang et al. 2022, Table 15).

    Parameters
    ----------
    ax : Axes
    family : sequence of ScaledCascade
        Drawn on the reporting split if there is one.
    published : {name: (average cost, quality in [0, 1])}, optional
        Published cascades.
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.
    """
    singles = [c.single.best for c in family]
    cascades = {c.name: c.cascade.best for c in family if c.cascade is not None}
    others = published or {}
    black, diamond, _ = SHAPES["single"]
    blue, circle, _ = SHAPES["cascade"]
    style: dict[str, Any] = {"linewidth": 1.1, "markeredgewidth": 0}
    ax.plot(*coordinates(singles), color=black, marker=diamond, markersize=5, label="models of the ladder", **style)
    ax.plot(*coordinates(list(cascades.values())), color=blue, marker=circle, markersize=6.5, label="scaled cascades",
            **style)  # fmt: skip
    if others:
        x, y = zip(*others.values(), strict=True)
        ax.plot(x, y, "*", color=PUBLISHED, markersize=9, markeredgewidth=0, label="published")
    evaluations = [*singles, *cascades.values()]
    name_axes(ax, singles[0].committee.cost, [*coordinates(evaluations)[0], *(cost for cost, _ in others.values())])
    ax.set_ylabel(f"{quality} (%) on {sample(evaluations)}")
    names = {e.committee.label(): e for e in singles} | cascades
    points = [(e.average_cost, e.quality) for e in names.values()]
    Names(ax, [*names, *others], [*points, *others.values()], fontsize="small", color="0.25")
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The scaled cascades of the study and, if published figures are asked for, the paper's."""
    points = printed.points() if study.published and study.cost == "flops" else None
    return {"family": scaled_cascades(study), "published": points, "quality": study.quality}
