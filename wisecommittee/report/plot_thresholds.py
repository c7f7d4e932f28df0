"""Accuracy and cost of a cascade against its thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from wisecommittee.analyses.study import Study
from wisecommittee.analyses.thresholds import TOLERANCE, ThresholdSweep, sweeps
from wisecommittee.committees.combine import combine_named
from wisecommittee.committees.committee import together
from wisecommittee.errors import UsageError
from wisecommittee.report.labels import Names
from wisecommittee.report.style import (
    NOUNS,
    SERIES,
    Number,
    Percent,
    coordinates,
    entry,
    legend,
    name_axes,
    sample,
    scatter,
)
from wisecommittee.searches.evaluation import Evaluation

PLATEAU = f"plateau: from here on within {100 * TOLERANCE:g} points of never exiting"
NAMED = 6  # thresholds that are written beside their points


def thresholds(ax: Axes, sweeps: Sequence[ThresholdSweep], *, quality: str = "accuracy") -> Axes:
    """Draw accuracy against average cost while one threshold of a cascade rises (Wang et al. 2022, Fig. 4).

    One line per threshold; the other thresholds of its cascade are kept. At one end of the line all units that reach
    the stage exit there, at the other end none does. A star marks where the plateau begins. A thin line shows the same
    thresholds on the reporting split.

    Parameters
    ----------
    ax : Axes
    sweeps : sequence of ThresholdSweep
    quality : str
        What the y axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There are more thresholds than line styles.
    """
    if len(sweeps) >= len(SERIES):
        raise UsageError(f"{len(sweeps)} thresholds in one plot; at most {len(SERIES) - 1} can be told apart")
    several = len({sweep.committee.stages for sweep in sweeps}) > 1
    named = _ends(ax, sweeps[0]) if len(sweeps[0].committee.stages) == 2 and not several else []
    for sweep, (color, marker, dashes) in zip(sweeps, SERIES, strict=False):
        runs, start = sweep.evaluations, sweep.evaluations[sweep.plateau]
        ax.plot(*coordinates(runs), color=color, linestyle=dashes, linewidth=1.4, label=entry(_name(sweep, several)))
        shown = _spaced(sweep, max(1, NAMED // len(sweeps)))
        ax.plot(*coordinates([runs[i] for i in shown]), linestyle="none", marker=marker, markersize=4, color=color)
        ax.plot([start.average_cost], [start.quality], "*", color=color, markersize=12, markeredgewidth=0, zorder=4)
        named += [(f"t = {_number(sweep.thresholds[i])}", runs[i]) for i in shown]
        if sweep.test:
            label = f"the same on {sample(sweep.test)}" if sweep is sweeps[0] else None
            ax.plot(*coordinates(sweep.test), color=color, linewidth=0.7, alpha=0.6, label=label)
    ax.plot([], [], "*", color="0.35", markersize=10, markeredgewidth=0, label=PLATEAU)
    evaluations = [e for sweep in sweeps for e in (*sweep.evaluations, *sweep.test)]
    name_axes(ax, evaluations[0].committee.cost, coordinates(evaluations)[0])
    ax.set_ylabel(f"{quality} (%) on {sample(sweeps[0].evaluations[-1:])}")
    Names(ax, [n for n, _ in named], [(e.average_cost, e.quality) for _, e in named], fontsize="small", color="0.25")
    return legend(ax)


def sweep(ax: Axes, sweep: ThresholdSweep, *, quality: str = "accuracy") -> Axes:
    """Draw accuracy (left axis) and average cost (right axis) against one threshold of a cascade.

    Parameters
    ----------
    ax : Axes
    sweep : ThresholdSweep
    quality : str
        What the left axis measures; it is printed in percent.

    Returns
    -------
    Axes
        `ax`.
    """
    runs, cost = sweep.evaluations, sweep.committee.cost
    (blue, _, solid), (orange, _, dashed), *_ = SERIES
    x, start = sweep.thresholds, sweep.thresholds[sweep.plateau]
    steps: dict[str, Any] = {"drawstyle": "steps-pre"}  # up to t the same units exit as at t
    ax.axvspan(start, x[-1], color="0.93", linewidth=0, zorder=0, label=PLATEAU)
    thick: dict[str, Any] = {"linewidth": 1.4, **steps}
    ax.plot(x, [e.quality for e in runs], color=blue, linestyle=solid, label=f"{quality}, left axis", **thick)
    if sweep.test:
        label = f"the same on {sample(sweep.test)}"
        ax.plot(x, [e.quality for e in sweep.test], color=blue, linewidth=0.7, alpha=0.6, label=label, **steps)
    right = ax.twinx()
    right.plot(x, [e.average_cost for e in runs], color=orange, linestyle=dashed, **thick)
    ax.plot([], [], color=orange, linestyle=dashed, linewidth=1.4, label="average cost, right axis")
    stage = together(sweep.committee.stages[sweep.stage])
    ax.set_xlabel(f"threshold t: {stage} answers if {sweep.committee.confidence} ≥ t; plateau from {_number(start)}")
    ax.set_ylabel(f"{quality} (%) on {sample(runs[:1])}")
    right.set_ylabel("average FLOPs (multiply-adds) per unit" if cost == "flops" else f"average {cost} per unit")
    right.yaxis.set_major_formatter(EngFormatter(sep="") if cost == "flops" else Number())
    right.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(Percent())
    ax.set_xlim(x[0], x[-1] + 0.01 * (x[-1] - x[0]))  # the last rise stays off the right axis
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    for axes in (ax, right):
        axes.spines["top"].set_visible(False)
    return legend(ax, twin=right)


def gather(study: Study) -> dict[str, Any]:
    """The sweeps of the study's cascades."""
    return {"sweeps": sweeps(study), "quality": study.quality}


def gather_first(study: Study) -> dict[str, Any]:
    """The sweep of the cascade's first threshold."""
    return {"sweep": sweeps(study)[0], "quality": study.quality}


def _ends(ax: Axes, only: ThresholdSweep) -> list[tuple[str, Evaluation]]:
    """Mark the two ends of the sweep of a two-stage cascade: the first stage alone, and all members together."""
    first, second = only.committee.stages
    alone, whole = only.evaluations[0], only.evaluations[-1]
    shape = "single" if len(first) == 1 else "ensemble"
    scatter(ax, [alone], shape, 6.5, NOUNS[shape])
    if combine_named(only.committee.combine).ordered:  # the newest member answers alone
        scatter(ax, [whole], "ensemble", 6.5, f"{together(second)} for all, after {together(first)}")
        return [(together(first), alone)]
    scatter(ax, [whole], "ensemble", 6.5, NOUNS["ensemble"] if shape == "single" else None)
    return [(together(first), alone), (together((*first, *second)), whole)]


def _name(sweep: ThresholdSweep, several: bool) -> str:
    """several : whether other cascades are in the plot."""
    c = sweep.committee
    name = c.label() if len(c.stages) == 2 else f"t{sweep.stage + 1}, after {together(c.stages[sweep.stage])}"
    if several and len(c.stages) > 2:
        name = f"t{sweep.stage + 1} of {c.label()}"
    return f"{name}: plateau from t = {_number(sweep.thresholds[sweep.plateau])}"


def _spaced(sweep: ThresholdSweep, most: int) -> list[int]:
    """Indices of thresholds evenly spaced in cost, without both ends, which carry the names of their committees."""
    costs = [e.average_cost for e in sweep.evaluations]
    targets = [costs[0] + (costs[-1] - costs[0]) * k / (most + 1) for k in range(1, most + 1)]
    inner = range(1, len(costs) - 1)
    return sorted({min(inner, key=lambda i: abs(costs[i] - target)) for target in targets}) if inner else []


def _number(threshold: float) -> str:
    """The threshold with enough digits to tell thresholds near 1 apart."""
    return f"{threshold:.6g}" if 0.9995 < threshold < 1 else f"{threshold:.3g}"
