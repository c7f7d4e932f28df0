"""Ensembles, the cascades of their members, and single models (Wang et al. 2022, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.conversion import Conversion, conversion
from wisecommittee.analyses.match import show
from wisecommittee.analyses.study import Study
from wisecommittee.report.style import NOUNS, coordinates, legend, name_axes, name_points, sample, scatter
from wisecommittee.searches.evaluation import Evaluation


def draw(
    ax: Axes, conversions: Sequence[Conversion], *, singles: Sequence[Evaluation] = (), quality: str = "top-1 accuracy"
) -> Axes:
    """Draw ensembles and the cascades of their members; a thin line joins the two (Wang et al. 2022, Fig. 2).

    Parameters
    ----------
    ax : Axes
    conversions : sequence of Conversion
        Drawn on the reporting split if there is one.
    singles : sequence of Evaluation
        Single models to draw beside them.
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.
    """
    ensembles = [c.ensemble.best for c in conversions]
    cascades = [c.cascade.best for c in conversions]
    for pair in zip(ensembles, cascades, strict=True):
        ax.plot(*coordinates(pair), color="0.7", linewidth=0.9, zorder=1)
    scatter(ax, singles, "single", 5.5, NOUNS["single"])
    scatter(ax, ensembles, "ensemble", 6.5, "ensemble")
    scatter(ax, cascades, "cascade", 6.5, "the same members as a cascade")
    name_axes(ax, ensembles[0].committee.cost, coordinates([*ensembles, *cascades, *singles])[0])
    ax.set_ylabel(f"{quality} (%) on {sample(ensembles)}")
    name_points(ax, singles, {})
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """Ensembles, their cascades, and the single models of the study."""
    singles = [s.best for s in show(study, study.search(family="ensemble").singles)]
    return {"conversions": conversion(study), "singles": singles, "quality": study.quality}
