"""Accuracy over cost for ensembles of 1, 2, .. replicas of each architecture (Kondratyuk et al. 2020, Figs. 1, 2)."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.replica_ensembles import ReplicaEnsembles, replica_ensembles
from wisecommittee.analyses.study import Study
from wisecommittee.errors import UsageError, option
from wisecommittee.report.labels import Names
from wisecommittee.report.style import SERIES, entry, legend, name_axes


def draw(ax: Axes, ensembles: ReplicaEnsembles, *, parallel: bool = False, quality: str = "top-1 accuracy") -> Axes:
    """Draw the accuracy of ensembles of 1, 2, .. replicas over their cost (Kondratyuk et al. 2020, Figs. 1 and 2).

    A point is the median over sets of replicas, with the quartiles as a band and the number of members beside it.

    Parameters
    ----------
    ax : Axes
    ensembles : ReplicaEnsembles
    parallel : bool
        The x axis is the cost of the dearest member instead of the sum: the latency if every member has its own worker.
        Only the smallest and the largest number of members stand beside their points.
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There are more architectures than line styles.
    """
    if len(ensembles.curves) > len(SERIES):
        raise UsageError(
            f"{len(ensembles.curves)} architectures in one plot; at most {len(SERIES)} can be told apart; choose "
            f"with {option('models')}"
        )
    numbers: list[tuple[str, tuple[float, float]]] = []
    costs: list[float] = []
    for curve, (color, marker, dashes) in zip(ensembles.curves, SERIES, strict=False):
        x = [p.parallel if parallel else p.cost for p in curve]
        y = [p.median for p in curve]
        ax.fill_between(x, [p.low for p in curve], [p.high for p in curve], color=color, alpha=0.15, linewidth=0)
        ax.plot(x, y, color=color, marker=marker, linestyle=dashes, markersize=5, linewidth=1.2, markeredgewidth=0,
                label=entry(curve[0].architecture))  # fmt: skip
        labels = [(str(p.members), (a, b)) for p, a, b in zip(curve, x, y, strict=True)]
        numbers += [labels[0], *labels[1:][-1:]] if parallel else labels  # in parallel all stand above one another
        costs += x
    name_axes(ax, ensembles.cost, costs)
    unit = "FLOPs (multiply-adds)" if ensembles.cost == "flops" else ensembles.cost
    ax.set_xlabel(f"{unit} of {'the dearest member' if parallel else 'all members'} per unit")
    ax.set_ylabel(f"median {quality} (%) on {ensembles.split} (n = {ensembles.n:,})")
    Names(ax, [name for name, _ in numbers], [point for _, point in numbers], fontsize="x-small", color="0.25")
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The ensembles of replicas of the study's architectures."""
    return {"ensembles": replica_ensembles(study), "quality": study.quality}


def gather_parallel(study: Study) -> dict[str, Any]:
    """The same ensembles, drawn over the cost of the dearest member."""
    return {"ensembles": replica_ensembles(study), "parallel": True, "quality": study.quality}
