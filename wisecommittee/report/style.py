"""Style that all plots share: colours and markers, axes named with their units, ticks, the legend.

Qualities and shares stay in [0, 1] on the axes, and only their ticks are printed in percent. Colours are those of
Okabe and Ito; a marker's shape always carries the same information as its colour.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.legend_handler import HandlerTuple
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullFormatter

from wisecommittee.committees.replicas import named_architectures
from wisecommittee.report.labels import Names
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.text import shown

# Okabe and Ito's colours; shape: (colour, marker, size relative to a circle of the same weight)
SHAPES = {"single": ("#000000", "D", 0.8), "ensemble": ("#D55E00", "s", 0.95), "cascade": ("#0072B2", "o", 1.0)}
NOUNS = {"single": "single model", "ensemble": "ensemble", "cascade": "cascade"}
SERIES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "v", ":"),
    ("#E69F00", "D", "-"),
    ("#56B4E9", "P", "--"),
    ("#000000", "X", "-."),
)
PUBLISHED = "#CC79A7"
LOG_FROM = 10.0  # costs that span more than this factor are drawn on a logarithmic axis
NAMED_AT_MOST = 40


def coordinates(evaluations: Sequence[Evaluation], axis: str = "average") -> tuple[list[float], list[float]]:
    """Costs and qualities; axis : which figure of the cost, as in `search`."""
    return [e.on(axis) for e in evaluations], [e.quality for e in evaluations]


def cost_axis(cost: str, axis: str = "average") -> str:
    """Label of an axis of costs."""
    noun = "FLOPs (multiply-adds)" if cost == "flops" else cost
    figure = {"average": f"average {noun}", "worst": f"worst-case {noun}", "p99": f"99th percentile of {noun}"}
    return f"{figure.get(axis) or f'{axis[1:]} % percentile of {noun}'} per unit"


def sample(evaluations: Sequence[Evaluation]) -> str:
    """'val (n = 5,000)': claims carry n."""
    return " and ".join(sorted({f"{e.split} (n = {e.n:,})" for e in evaluations}))


def scatter(
    ax: Axes,
    evaluations: Sequence[Evaluation],
    shape: str,
    size: float,
    label: str | None,
    *,
    hollow: bool = False,
    axis: str = "average",
) -> None:
    if not evaluations:
        return
    color, marker, scale = SHAPES[shape]
    face: dict[str, Any] = {"markerfacecolor": "none" if hollow else color, "markeredgewidth": 0.8 if hollow else 0}
    style: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": scale * size, "color": color, **face}
    ax.plot(*coordinates(evaluations, axis), zorder=2.8 if hollow else 3, label=label, **style)


def marker_size(points: int) -> float:
    """Size of a mark in points: smaller for more points, so that neighbours stay apart."""
    return 6.0 if points <= 30 else 4.5 if points <= 80 else 3.2


def name_axes(ax: Axes, cost: str, costs: Sequence[float], axis: str = "average") -> None:
    ax.set_xlabel(cost_axis(cost, axis))
    number = EngFormatter(sep="") if cost == "flops" else Number()
    if min(costs) > 0 and max(costs) > LOG_FROM * min(costs):
        ax.set_xscale("log")
        decade = width_in_points(ax) / math.log10(max(costs) / min(costs))
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decade > 130 else (1, 3) if decade > 80 else (1,)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(number)
    ax.yaxis.set_major_formatter(Percent())
    ax.margins(0.05, 0.08)  # room for the names of the outermost points
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def width_in_points(ax: Axes) -> float:
    """Width of an Axes in points, before any layout."""
    return float(ax.bbox.width / ax.figure.dpi * 72)


def name_points(
    ax: Axes, singles: Sequence[Evaluation], published: Mapping[str, tuple[float, float]], axis: str = "average"
) -> None:
    """Write names beside points, the important names first.

    First the single models that no single model beats at their cost, then published points, then the other models.
    Replicas of an architecture at one cost share the architecture's name, beside the most accurate of them.
    """
    architecture_of = named_architectures([e.committee.models[0] for e in singles if len(e.committee.models) == 1])
    copies: dict[tuple[str, float], list[Evaluation]] = {}
    for cost, _, e in sorted(zip(*coordinates(singles, axis), singles, strict=True), key=lambda row: (row[0], -row[1])):
        model = e.committee.models[0]
        copies.setdefault((architecture_of.get(model, model), cost), []).append(e)
    undominated: list[tuple[str, tuple[float, float]]] = []
    dominated: list[tuple[str, tuple[float, float]]] = []
    best = -1.0
    for (architecture, cost), group in copies.items():
        name = architecture if len(group) > 1 else group[0].committee.label()
        (undominated if group[0].quality > best else dominated).append((name, (cost, group[0].quality)))
        best = max(best, group[0].quality)
    names = [*undominated, *published.items(), *dominated][:NAMED_AT_MOST]
    if names:
        Names(ax, [n for n, _ in names], [p for _, p in names], fontsize="small", color="0.25")


def entry(name: str) -> str:
    """A name as the label of a line. The space keeps names that begin with an underscore in the legend."""
    return f" {name}" if name.startswith("_") else name


def folded(text: str, most: int) -> str:
    """A text in about three lines of at most `most` characters. A longer text loses its middle: names differ at their
    ends."""
    most = max(most, 8)
    if len(text) > 3 * most:
        text = f"{text[: 3 * most // 2]}…{text[-(3 * most // 2 - 1) :]}"
    return "\n".join(textwrap.wrap(text, most, break_on_hyphens=False))


def literal(text: str) -> str:
    """A text for ticks, which may hold mathematics of ours beside it, as it is."""
    return shown(text).replace("$", r"\$")


def _as_text(drawn: Text, points: float) -> None:
    """Show a text of a figure as it is, no mathematics, nothing hidden, in lines of at most `points` points."""
    drawn.set_parse_math(False)
    drawn.set_text(folded(shown(drawn.get_text()), int(points / (0.55 * float(drawn.get_fontsize())))))


def legend(ax: Axes, further: Mapping[str, tuple[Artist, ...]] | None = None, *, twin: Axes | None = None) -> Axes:
    """Finish a plot: put the legend above the axes, where no data are, and show all names as plain text.

    Parameters
    ----------
    ax : Axes
    further : {label: marks that share it}, optional
        Entries beside those of the drawn marks.
    twin : Axes, optional
        A second Axes that shares the x axis.

    Returns
    -------
    Axes
        `ax`.
    """
    width, height = width_in_points(ax), float(ax.bbox.height / ax.figure.dpi * 72)
    for axes in (ax, *([twin] if twin else [])):
        _as_text(axes.xaxis.label, 1.3 * width)
        _as_text(axes.yaxis.label, 1.3 * height)
    drawn, names = ax.get_legend_handles_labels()
    handles: list[Any] = [*drawn, *(further or {}).values()]
    labels = [shown(name.removeprefix(" ")) for name in (*names, *(further or {}))]
    fitting = (n for n in range(len(labels), 1, -1) if _row_width(labels, n) < 1.12 * width_in_points(ax))
    position: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.01), "borderaxespad": 0.2}
    style: dict[str, Any] = {
        "frameon": False,
        "fontsize": "small",
        "columnspacing": 1.4,
        "handletextpad": 0.6,
        "handlelength": 1.6,
    }
    together = {tuple: HandlerTuple(ndivide=None, pad=0.3)}
    box = ax.legend(handles, labels, ncols=next(fitting, 1), handler_map=together, **position, **style)
    for text in box.get_texts():
        _as_text(text, 1.05 * width)
    return ax


def _row_width(labels: Sequence[str], columns: int) -> float:
    """Rough width in points of a legend with so many columns, filled from top to bottom."""
    size = FontProperties(size="small").get_size_in_points()
    return sum(size * (3.6 + 0.58 * max(map(len, column))) for column in np.array_split(np.array(labels), columns))


class Percent(Formatter):
    """Ticks in [0, 1] as percent, all with the decimals that the finest of them needs."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{100 * x:.10g}"

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        decimals = max((len(self(v).partition(".")[2]) for v in values), default=0)
        return [f"{100 * v:.{decimals}f}" for v in values]


class Number(Formatter):
    """Ticks in plain digits, or all as powers of ten if one of them would be long."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return number(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return [number(v, digits=all(map(_short, values))) for v in values]


def number(value: float, *, digits: bool | None = None) -> str:
    """'0.002', and 2 x 10^-5 where plain digits would be long; digits decides it for all ticks of an axis."""
    if value == 0 or (_short(value) if digits is None else digits):
        return f"{value:.6g}"
    factor, exponent = f"{value:.5e}".split("e")
    shown = f"{float(factor):g}"
    return f"${'' if shown == '1' else shown + chr(92) + 'times'}10^{{{int(exponent)}}}$"


def _short(value: float) -> bool:
    return value == 0 or 1e-3 <= abs(value) < 1e6


def amount(value: float, cost: str) -> str:
    """A cost with its unit, as plots print it."""
    return (
        f"{EngFormatter(places=1, sep='')(value)} FLOPs"
        if cost == "flops"
        else f"{number(float(f'{value:.3g}'))} {literal(cost)}"
    )


def stage_colors(stages: int) -> list[tuple[float, float, float]]:
    """One hue, later stages darker."""
    blues = matplotlib.colormaps["Blues"]
    shades = [0.3 + 0.65 * k / max(stages - 1, 1) for k in range(stages)]
    return [to_rgb(blues(shade)) for shade in shades]


def luminance(color: tuple[float, float, float]) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
