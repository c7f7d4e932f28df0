"""Jointly trained networks by the number of leaves that answer (Ruiz and Verbeek 2021, Figs. 3-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from wisecommittee.analyses import leaves as analysis
from wisecommittee.analyses.leaves import Leaves
from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError, UsageError, option
from wisecommittee.report import published
from wisecommittee.report.labels import Names
from wisecommittee.report.style import PUBLISHED, SERIES, Percent, entry, legend, name_axes

Points = Sequence[tuple[int, float, float]]  # leaves, cost, quality

# Multiply-adds in millions of 1, 2, 4, 8 and 16 leaves. The paper prints accuracies in Table 1 and no FLOPs; these
# follow from its Table 2, and train/hne_nets.py counts the same.
MACS = {
    ("HNE", "CIFAR-10"): (50.80, 65.66, 107.08, 201.74, 401.99),
    ("HNE", "CIFAR-100"): (50.82, 65.71, 107.17, 201.92, 402.36),
    ("HNE_small", "CIFAR-10"): (13.08, 16.84, 27.33, 51.32, 102.17),
    ("HNE_small", "CIFAR-100"): (13.09, 16.86, 27.37, 51.42, 102.35),
}
DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def anytime(ax: Axes, leaves: Leaves, *, published: Mapping[str, Points] | None = None) -> Axes:
    """Draw accuracy over cost of the first 1, 2, 4, .. leaves; the number of leaves stands beside each point.

    Ruiz and Verbeek 2021, Figs. 3, 5 and 6.

    Parameters
    ----------
    ax : Axes
    leaves : Leaves
    published : {name: points (leaves, multiply-adds, accuracy in [0, 1])}, optional
        Published networks, drawn as stars; the name stands beside the last point.

    Returns
    -------
    Axes
        `ax`.
    """
    numbers, costs = [], []
    for group, (color, marker, dashes) in zip(leaves.groups, _styles(leaves), strict=False):
        x = [rung.evaluation.average_cost for rung in group.rungs]
        y = [rung.evaluation.quality for rung in group.rungs]
        low, high = zip(*(rung.evaluation.interval for rung in group.rungs), strict=True)
        ax.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
        ax.plot(x, y, color=color, marker=marker, linestyle=dashes, **LINE, label=entry(group.name))
        numbers += [(str(rung.leaves), point) for rung, *point in zip(group.rungs, x, y, strict=True)]
        costs += x
    style: dict[str, Any] = {"color": PUBLISHED, "linestyle": ":", "linewidth": 0.9, "marker": "*"}
    for number, (name, points) in enumerate((published or {}).items()):
        sizes, x, y = (list(values) for values in zip(*points, strict=True))
        ax.plot(x, y, **style, markersize=8, markeredgewidth=0, label=None if number else "published")
        names = [*map(str, sizes[:-1]), f"{sizes[-1]}: {name}"]
        numbers += [(text, point) for text, *point in zip(names, x, y, strict=True)]
        costs += x
    _costs(ax, leaves, costs)
    ax.set_ylabel(f"accuracy (%) on {leaves.split} (n = {leaves.n:,}), 95 % band")
    Names(ax, [name for name, _ in numbers], [(x, y) for _, (x, y) in numbers], fontsize="x-small", color="0.25")
    return legend(ax)


def deviation(ax: Axes, leaves: Leaves) -> Axes:
    """Draw the standard deviation of the logits of the first 2, 4, .. leaves over their cost.

    Ruiz and Verbeek 2021, Figs. 3 and 5.

    Parameters
    ----------
    ax : Axes
    leaves : Leaves

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    AbsentError
        Every network has one leaf only.
    """
    numbers, costs = [], []
    for group, (color, marker, dashes) in zip(leaves.groups, _styles(leaves), strict=False):
        several = [rung for rung in group.rungs if rung.leaves > 1]
        x, y = [rung.evaluation.average_cost for rung in several], [rung.deviation for rung in several]
        ax.plot(x, y, color=color, marker=marker, linestyle=dashes, **LINE, label=entry(group.name))
        numbers += [(str(rung.leaves), point) for rung, *point in zip(several, x, y, strict=True)]
        costs += x
    if not costs:
        raise AbsentError("leaves differ from one another; these networks have one leaf each")
    _costs(ax, leaves, costs)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylabel(f"std of logits over leaves on {leaves.split} (n = {leaves.n:,})")
    Names(ax, [name for name, _ in numbers], [(x, y) for _, (x, y) in numbers], fontsize="x-small", color="0.25")
    return legend(ax)


def leaves(ax: Axes, leaves: Leaves) -> Axes:
    """Draw the accuracy of every leaf alone as a bar, and of the first 1, 2, 4, .. leaves together as a line.

    Networks stand side by side (Ruiz and Verbeek 2021, Fig. 4).

    Parameters
    ----------
    ax : Axes
    leaves : Leaves

    Returns
    -------
    Axes
        `ax`.
    """
    start, ticks = 0.0, []
    heights: list[float] = []
    for group, (color, marker, dashes) in zip(leaves.groups, _styles(leaves), strict=False):
        count = len(group.alone)
        bars = [e.quality for e in group.alone]
        ax.bar(start + np.arange(count), bars, width=0.8, color=color, alpha=0.35, linewidth=0)
        x = [start + rung.leaves - 1 for rung in group.rungs]
        y = [rung.evaluation.quality for rung in group.rungs]
        ax.plot(x, y, color=color, marker=marker, linestyle=dashes, **LINE, label=entry(group.name))
        ticks += [(start + rung.leaves - 1, str(rung.leaves)) for rung in group.rungs]
        heights += [*bars, *y]
        start += count + 1.0
    room = 0.15 * (max(heights) - min(heights) or 0.1)
    ax.set_ylim(max(0.0, min(heights) - room), min(1.0, max(heights) + room))
    ax.set_xticks([x for x, _ in ticks], [name for _, name in ticks])
    ax.set_xlabel("bars: each leaf alone; lines: the first leaves together, by their number")
    ax.set_ylabel(f"accuracy (%) on {leaves.split} (n = {leaves.n:,})")
    ax.yaxis.set_major_formatter(Percent())
    ax.grid(True, axis="y", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return legend(ax)


LINE: dict[str, Any] = {"markersize": 5, "linewidth": 1.2, "markeredgewidth": 0}


def _styles(leaves: Leaves) -> Sequence[tuple[str, str, str]]:
    if len(leaves.groups) > len(SERIES):
        raise UsageError(
            f"{len(leaves.groups)} networks in one plot; at most {len(SERIES)} can be told apart, choose with "
            f"{option('models')}"
        )
    return SERIES


def _costs(ax: Axes, leaves: Leaves, costs: Sequence[float]) -> None:
    name_axes(ax, leaves.cost, costs)
    unit = "FLOPs (multiply-adds)" if leaves.cost == "flops" else leaves.cost
    ax.set_xlabel(f"{unit} of the first leaves per unit")


def gather(study: Study) -> dict[str, Any]:
    """The leaves of the study's networks."""
    return {"leaves": analysis.leaves(study)}


def gather_anytime(study: Study) -> dict[str, Any]:
    """The leaves and, if published figures are asked for, the paper's Table 1.

    Its rows are those for the data that the networks' names mention; all rows if no name mentions any data.
    """
    result = analysis.leaves(study)
    if not study.published or study.cost != "flops":
        return {"leaves": result}
    trained_on = {DATA.get(group.name.split("-")[1]) for group in result.groups if group.name.count("-") > 1} - {None}
    return {"leaves": result, "published": table_1(trained_on or set(DATA.values()))}


def table_1(datasets: set[Any]) -> dict[str, Points]:
    """{name: points} of the networks that the paper trained with hierarchical distillation on these data sets."""
    points_of: dict[str, list[tuple[int, float, float]]] = {}
    for row in published.rows("hne_table1"):
        if row["loss"] == "LHD" and row["dataset"] in datasets:
            size = row["models_evaluated"]
            macs = MACS[row["network"], row["dataset"]][size.bit_length() - 1]
            points_of.setdefault(f"{row['network']}, {row['dataset']}", []).append((size, macs * 1e6, row["top1"]))
    return {name: tuple(points) for name, points in points_of.items()}
