"""Spread over replicas (Wang et al. 2022, Table 17), as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.replicas import ArchitectureReplicas, replicas
from wisecommittee.analyses.study import Study
from wisecommittee.report.style import coordinates, legend, name_axes, name_points, sample, scatter


def draw(ax: Axes, replicas: Sequence[ArchitectureReplicas], *, quality: str = "top-1 accuracy") -> Axes:
    """Draw every single model, every pair as an ensemble and every ordered pair as a cascade.

    Wang et al. 2022, Table 17.

    Parameters
    ----------
    ax : Axes
    replicas : sequence of ArchitectureReplicas
        All on the same split.
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.
    """
    singles = [e for r in replicas for e in r.singles]
    cascades = [e for r in replicas for e in r.cascades]
    ensembles = [e for r in replicas for e in r.ensembles]
    scatter(ax, cascades, "cascade", 4.0, "ordered pair as a cascade")
    scatter(ax, ensembles, "ensemble", 4.0, "pair as an ensemble")
    scatter(ax, singles, "single", 4.5, "single model")
    evaluations = [*singles, *ensembles, *cascades]
    name_axes(ax, singles[0].committee.cost, coordinates(evaluations)[0])
    ax.set_ylabel(f"{quality} (%) on {sample(singles)}")
    name_points(ax, singles, {})
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The replicas on the reporting split if there is one, else on the split that chooses."""
    every_split = replicas(study)
    split = every_split[-1].split
    return {"replicas": [r for r in every_split if r.split == split], "quality": study.quality}
