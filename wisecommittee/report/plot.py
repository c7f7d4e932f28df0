"""Plots: each takes an Axes, draws on it and returns it; `draw` makes a figure of one of them and writes it to a file.

Qualities and shares stay in [0, 1] on the axes, as everywhere, and only their ticks are printed in percent. Colours are
those of Okabe and Ito; a marker's shape always says the same as its colour.
May be added: a function, and its line in PLOTS.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import EngFormatter, Formatter, LogLocator, NullFormatter

from wisecommittee.committees.cards import split_model_name
from wisecommittee.errors import UnknownNameError, UsageError, WiseCommitteeError
from wisecommittee.report.labels import Fitted, Names
from wisecommittee.search.evaluate import Evaluation
from wisecommittee.search.frontier import Frontier

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
MOST_BARS = 24


def frontier(
    ax: Axes,
    frontier: Frontier,
    *,
    test: Iterable[Evaluation] | None = None,
    ensembles: Frontier | None = None,
    published: Mapping[str, tuple[float, float]] | None = None,
    label_points: bool = True,
    band: bool = False,
    quality: str = "top-1 accuracy",
) -> Axes:
    """The accuracy/cost frontier of a search with all single models of its pool (Wang et al. 2022, Fig. 2).

    The legend stands above the axes, where a title would: give a figure layout="constrained" and use its suptitle.

    test : evaluations of the same committees on another split, drawn hollow. ensembles : frontier of a search with
    family='ensemble', a thin line. published : {name: (average cost, quality in [0, 1])} of others. label_points : name
    the single models (as many as find room, the best for their cost first). band : 95 % intervals of the frontier.
    quality : what the y axis measures; it is printed in percent.
    """
    evaluations, singles = list(frontier), list(frontier.singles)
    reported = [] if test is None else list(test)
    thin = [] if ensembles is None else list(ensembles)
    for evaluation in (*reported, *thin):
        if evaluation.committee.cost != frontier.cost:
            raise UsageError(f"costs in {evaluation.committee.cost} and in {frontier.cost} cannot share an axis")
    size = _marker_size(len(evaluations))
    costs, qualities = _coordinates(evaluations)
    blue = SHAPES["cascade"][0]
    ax.plot(costs, qualities, "-", color=blue, linewidth=1.2, zorder=2.5, label=f"frontier on {_sample(evaluations)}")
    if band:
        low, high = zip(*(e.interval for e in evaluations), strict=True)
        ax.fill_between(costs, low, high, color=blue, alpha=0.13, linewidth=0, zorder=1, label="95 % interval")
    if thin:
        orange = SHAPES["ensemble"][0]
        ax.plot(*_coordinates(thin), "-", color=orange, linewidth=0.9, marker="s", markersize=2.5, zorder=2.2,
                label="ensembles only")  # fmt: skip
    _scatter(ax, singles, "single", 6.0, NOUNS["single"])
    for shape in ("ensemble", "cascade"):
        _scatter(ax, [e for e in evaluations if e.committee.shape == shape], shape, size, NOUNS[shape])
    for shape in SHAPES:
        _scatter(ax, [e for e in reported if e.committee.shape == shape], shape, size, None, hollow=True)
    if reported:
        ax.plot([], [], "o", color="0.35", fillstyle="none", markersize=5, label=f"the same on {_sample(reported)}")
    others = dict(published or {})
    if others:
        x, y = zip(*others.values(), strict=True)
        ax.plot(x, y, "*", color=PUBLISHED, markersize=9, markeredgewidth=0, zorder=4, label="published")
    _name_axes(
        ax, frontier.cost, [*costs, *_coordinates([*singles, *reported, *thin])[0], *(c for c, _ in others.values())]
    )
    ax.set_ylabel(f"{quality} (%)")
    _name_points(ax, singles if label_points else [], others)
    return _legend(ax)


def frontiers(
    ax: Axes,
    frontiers: Mapping[str, Frontier],
    *,
    singles: bool = True,
    label_points: bool = False,
    quality: str = "top-1 accuracy",
) -> Axes:
    """Several frontiers of one cost side by side, by name, each with its own colour, dashes and (some) markers.

    singles : also draw the single models of their pools. label_points, quality : as in `frontier`.
    """
    if not frontiers:
        raise UsageError("frontiers: name at least one, for example {'cascades': frontier}")
    if len(frontiers) > len(SERIES):
        raise UsageError(f"{len(frontiers)} frontiers in one plot; at most {len(SERIES)} can be told apart")
    costs = sorted({f.cost for f in frontiers.values()})
    if len(costs) > 1:
        raise UsageError(f"costs in {' and in '.join(costs)} cannot share an axis")
    pool = {e.committee.label(): e for f in frontiers.values() for e in f.singles} if singles else {}
    if pool:
        _scatter(ax, list(pool.values()), "single", 5.0, NOUNS["single"])
    for z, ((name, one), (color, marker, dashes)) in enumerate(zip(frontiers.items(), SERIES, strict=False)):
        evaluations = list(one)
        ax.plot(
            *_coordinates(evaluations),
            color=color,
            linestyle=dashes,
            linewidth=1.3,
            marker=marker,
            markersize=5,
            markevery=max(1, len(evaluations) // 15),
            markeredgewidth=0,
            zorder=2.5 + z / 100,
            label=name,
        )
    everybody = [*pool.values(), *(e for f in frontiers.values() for e in f)]
    _name_axes(ax, costs[0], _coordinates(everybody)[0])
    ax.set_ylabel(f"{quality} (%) on {_sample(everybody)}")
    _name_points(ax, list(pool.values()) if label_points else [], {})
    return _legend(ax)


def exits(ax: Axes, evaluations: Evaluation | Iterable[Evaluation]) -> Axes:
    """Where the units of one or several committees exit (Wang et al. 2022, Table 16): a bar each, a piece per stage."""
    rows = [evaluations] if isinstance(evaluations, Evaluation) else list(evaluations)
    if not rows:
        raise UsageError("exits: name at least one evaluated committee")
    if len(rows) > MOST_BARS:
        raise UsageError(
            f"exits of {len(rows)} committees cannot be read in one plot; choose at most {MOST_BARS} of them"
        )
    for stage, color in enumerate(_stage_colors(max(len(e.exit_ratios) for e in rows))):
        ink = "black" if _luminance(color) > 0.35 else "white"
        reaching = [(row, e.exit_ratios) for row, e in enumerate(rows) if stage < len(e.exit_ratios)]
        places = [row for row, _ in reaching]
        shares = [ratios[stage] for _, ratios in reaching]
        before = [sum(ratios[:stage]) for _, ratios in reaching]
        bars: dict[str, Any] = {"height": 0.46, "color": color, "edgecolor": "white", "linewidth": 0.8}
        ax.barh(places, shares, left=before, label=f"stage {stage + 1}", **bars)
        for row, share, left in zip(places, shares, before, strict=True):
            inside: dict[str, Any] = {
                "room": 0.9 * share,
                "least": 7.0,
                "size": 7.5,
                "ha": "center",
                "va": "center_baseline",
            }
            ax.add_artist(Fitted(left + share / 2, row, f"{100 * share:.1f} %", color=ink, **inside))
    for row, e in enumerate(rows):
        ax.add_artist(
            Fitted(0, row - 0.27, e.committee.label(), room=1.0, least=0.0, size=8.0, va="bottom", color="0.15")
        )
    figures = [f"{100 * e.quality:.2f} %\n{_amount(e.average_cost, e.committee.cost)}" for e in rows]
    ax.set(xlim=(0, 1), ylim=(len(rows) - 0.65, -0.62))
    ax.set_yticks(range(len(rows)), figures, fontsize=7.5)
    ax.tick_params(axis="y", length=0, left=False, labelleft=False, labelright=True)
    ax.set_xlabel(f"share of units that exit (%) on {_sample(rows)}")
    ax.xaxis.set_major_formatter(Percent())
    ax.spines[["top", "right", "left"]].set_visible(False)
    return _legend(ax)


PLOTS: dict[str, Callable[..., Axes]] = {"exits": exits, "frontier": frontier, "frontiers": frontiers}


def draw(
    kind: str, path: str | os.PathLike[str], *, size: tuple[float, float] | None = None, dpi: int = 150, **what: Any
) -> Path:
    """Draw one plot on a figure of its own and write it; the path's ending names the format.

    kind : a name in PLOTS; what : that function's arguments; size : width and height in inches.

    >>> draw("frontier", "frontier.png", frontier=frontier)                     # doctest: +SKIP
    """
    if kind not in PLOTS:
        raise UnknownNameError("plot", kind, PLOTS)
    path = Path(path)
    figure = Figure(figsize=size or _default_size(kind, what), dpi=dpi, layout="constrained")
    formats = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise UsageError(f"{os.fspath(path)!r} does not end in a known format; expected one of {', '.join(formats)}")
    with matplotlib.rc_context({"font.size": 9}):
        PLOTS[kind](figure.add_subplot(), **what)
        try:
            figure.savefig(path, dpi=dpi)
        except OSError as error:
            raise WiseCommitteeError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}") from error
    return path


def _default_size(kind: str, what: Mapping[str, Any]) -> tuple[float, float]:
    if kind != "exits":
        return 7.2, 4.6
    rows = what.get("evaluations", ())
    return 7.2, 1.1 + 0.5 * (1 if isinstance(rows, Evaluation) else len(rows))


def _coordinates(evaluations: Sequence[Evaluation]) -> tuple[list[float], list[float]]:
    return [e.average_cost for e in evaluations], [e.quality for e in evaluations]


def _sample(evaluations: Sequence[Evaluation]) -> str:
    """'val (n = 5,000)': claims carry n."""
    return " and ".join(sorted({f"{e.split} (n = {e.n:,})" for e in evaluations}))


def _scatter(
    ax: Axes, evaluations: Sequence[Evaluation], shape: str, size: float, label: str | None, *, hollow: bool = False
) -> None:
    if not evaluations:
        return
    color, marker, scale = SHAPES[shape]
    face: dict[str, Any] = {"markerfacecolor": "none" if hollow else color, "markeredgewidth": 0.8 if hollow else 0}
    style: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": scale * size, "color": color, **face}
    ax.plot(*_coordinates(evaluations), zorder=2.8 if hollow else 3, label=label, **style)


def _marker_size(points: int) -> float:
    """Smaller where there are many, so that neighbours stay apart."""
    return 6.0 if points <= 30 else 4.5 if points <= 80 else 3.2


def _name_axes(ax: Axes, cost: str, costs: Sequence[float]) -> None:
    flops = cost == "flops"
    ax.set_xlabel("average FLOPs (multiply-adds) per unit" if flops else f"average {cost} per unit")
    number = EngFormatter(sep="") if flops else Number()
    if min(costs) > 0 and max(costs) > LOG_FROM * min(costs):
        ax.set_xscale("log")
        decade = _width(ax) / math.log10(max(costs) / min(costs))
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decade > 130 else (1, 3) if decade > 80 else (1,)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(number)
    ax.yaxis.set_major_formatter(Percent())
    ax.margins(0.05, 0.08)  # room for the names of the outermost points
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _width(ax: Axes) -> float:
    """Of an Axes, in points, before any layout."""
    return float(ax.bbox.width / ax.figure.dpi * 72)


def _name_points(ax: Axes, singles: Sequence[Evaluation], published: Mapping[str, tuple[float, float]]) -> None:
    """Names beside points, the important first: models that none beats at their cost, the published, the rest.

    Replicas of an architecture at one cost share the architecture's name, beside the best of them.
    """
    copies: dict[tuple[str, float], list[Evaluation]] = {}
    for e in sorted(singles, key=lambda e: (e.average_cost, -e.quality)):
        copies.setdefault((split_model_name(e.committee.label())[0], e.average_cost), []).append(e)
    undominated: list[tuple[str, tuple[float, float]]] = []
    rest: list[tuple[str, tuple[float, float]]] = []
    best = -1.0
    for (architecture, cost), group in copies.items():
        name = architecture if len(group) > 1 else group[0].committee.label()
        (undominated if group[0].quality > best else rest).append((name, (cost, group[0].quality)))
        best = max(best, group[0].quality)
    names = [*undominated, *published.items(), *rest][:NAMED_AT_MOST]
    if names:
        Names(ax, [n for n, _ in names], [p for _, p in names], fontsize="small", color="0.25")


def _legend(ax: Axes) -> Axes:
    """Above the axes, where no data are."""
    handles, labels = ax.get_legend_handles_labels()
    fitting = (n for n in range(len(labels), 1, -1) if _row_width(labels, n) < 1.12 * _width(ax))
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.01), "borderaxespad": 0.2}
    style: dict[str, Any] = {
        "frameon": False,
        "fontsize": "small",
        "columnspacing": 1.4,
        "handletextpad": 0.6,
        "handlelength": 1.6,
    }
    ax.legend(handles, labels, ncols=next(fitting, 1), **place, **style)
    return ax


def _row_width(labels: Sequence[str], columns: int) -> float:
    """Of a legend, in points, roughly; it fills its columns from top to bottom."""
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
    """Ticks in plain digits, or all of them as powers of ten where some would be long."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return _number(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return [_number(v, digits=all(map(_short, values))) for v in values]


def _number(value: float, *, digits: bool | None = None) -> str:
    """'0.002', and 2 x 10^-5 where plain digits would be long; digits decides it for all ticks of an axis."""
    if _short(value) if digits is None else digits:
        return f"{value:.6g}"
    factor, exponent = f"{value:.5e}".split("e")
    shown = f"{float(factor):g}"
    return f"${'' if shown == '1' else shown + chr(92) + 'times'}10^{{{int(exponent)}}}$"


def _short(value: float) -> bool:
    return value == 0 or 1e-3 <= abs(value) < 1e6


def _amount(value: float, cost: str) -> str:
    return (
        f"{EngFormatter(places=1, sep='')(value)} FLOPs"
        if cost == "flops"
        else f"{_number(float(f'{value:.3g}'))} {cost}"
    )


def _stage_colors(stages: int) -> list[tuple[float, float, float]]:
    """One hue, later stages darker."""
    blues = matplotlib.colormaps["Blues"]
    shades = [0.3 + 0.65 * k / max(stages - 1, 1) for k in range(stages)]
    return [to_rgb(blues(shade)) for shade in shades]


def _luminance(color: tuple[float, float, float]) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
