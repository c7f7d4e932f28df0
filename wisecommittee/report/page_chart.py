"""The frontier as an SVG that a page can show, print and, with page.js, explain point by point."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.ticker as ticks

from wisecommittee.report.markup import escape
from wisecommittee.report.style import LOG_FROM, coordinates, cost_axis
from wisecommittee.report.table import SCALES
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.expected import Expected
from wisecommittee.text import shown_lines

WIDTH, HEIGHT = 900, 500
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 14, 52
DIAMOND = '<path d="M0 -5L5 0L0 5L-5 0Z"/>'


@dataclass(frozen=True, slots=True)
class PixelScale:
    """Values -> pixels.

    lowest, highest : its ends in values; first, last : the same ends in pixels; logarithmic : to base 10.
    """

    lowest: float
    highest: float
    first: float
    last: float
    logarithmic: bool = False

    @classmethod
    def over(cls, values: Sequence[float], first: float, last: float, logarithmic: bool = False) -> PixelScale:
        """A scale of these values with a margin at both ends."""
        low, high = min(values), max(values)
        if logarithmic:
            margin = min((high / low) ** 0.04, 10.0)
            return cls(low / margin, high * margin, first, last, True)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - margin, high + margin, first, last)

    def __call__(self, value: float) -> float:
        low, high = self.lowest, self.highest
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.first + (self.last - self.first) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        if not self.logarithmic:
            values = ticks.MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(self.lowest, self.highest)
        else:
            few = self.highest < 300 * self.lowest
            values = ticks.LogLocator(subs=(1, 2, 5) if few else (1, 3)).tick_values(self.lowest, self.highest)
        return [float(value) for value in values if self.lowest <= value <= self.highest]


@dataclass(frozen=True, slots=True)
class Marks:
    """What is drawn: committees of a frontier, single models, some of both on test, the chosen committee.

    expected : (cost, figures to expect on new data) of the committees, by rising cost; may be empty.
    """

    committees: Sequence[Evaluation]
    singles: Sequence[Evaluation]
    test: Sequence[Evaluation]
    chosen: Evaluation
    expected: Sequence[tuple[float, Expected]] = ()


def chart(marks: Marks, texts: Mapping[int, str], quality: str, axis: str = "average") -> str:
    """The chart as SVG, with a legend and the texts that page.js shows of its points.

    texts : {id(evaluation): the lines shown of it}; axis : the figure of the cost on the x axis, as in `search`.
    """
    committees, singles, test, chosen = marks.committees, marks.singles, marks.test, marks.chosen
    every = [*committees, *singles, *test]
    costs, qualities = coordinates(every, axis)
    bands = [end for _, expected in marks.expected for end in expected.interval]
    logarithmic = min(costs) > 0 and max(costs) > LOG_FROM * min(costs)
    x = PixelScale.over(costs, LEFT, WIDTH - RIGHT, logarithmic)
    y = PixelScale.over([*qualities, *bands], HEIGHT - BOTTOM, TOP)

    def position(e: Evaluation) -> tuple[float, float]:
        return x(e.on(axis)), y(e.quality)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(quality)} by {escape(axis)} cost of '
        f'committees and single models">',
        *_axes(x, y, chosen.committee.cost, axis, quality),
    ]
    parts += _expected_line(marks.expected, x, y)
    line = "L".join("{:.1f} {:.1f}".format(*position(e)) for e in committees)
    parts.append(f'<path class="line" d="M{line}"/>')
    shown: list[str] = []

    def mark(e: Evaluation, kind: str, shape: str) -> None:
        text = shown_lines(texts[id(e)])
        moved = 'transform="translate({:.1f} {:.1f})"'.format(*position(e))
        title = f"<title>{escape(text)}</title>"
        parts.append(f'<g class="mark {kind}" data-i="{len(shown)}" tabindex="0" {moved}>{title}{shape}</g>')
        shown.append(text)

    radius = 4.2 if len(committees) <= 80 else 2.8
    for e in test:
        mark(e, "test", DIAMOND if e.committee.shape == "single" else f'<circle r="{radius}"/>')
    for e in committees:
        if e.committee.shape == "ensemble":
            mark(e, "ensemble", f'<rect x="{-radius}" y="{-radius}" width="{2 * radius}" height="{2 * radius}"/>')
        elif e.committee.shape == "cascade":
            mark(e, "committee", f'<circle r="{radius}"/>')
    for e in singles:
        mark(e, "single", DIAMOND)
    parts.append('<circle class="chosen" r="9" cx="{:.1f}" cy="{:.1f}"/>'.format(*position(chosen)))
    parts.append("</svg>")
    return f'<div id="chart">{"".join(parts)}<div id="tip" role="status"></div></div>{_legend(marks)}{_data(shown)}'


def _expected_line(expected: Sequence[tuple[float, Expected]], x: PixelScale, y: PixelScale) -> Iterator[str]:
    """The figures to expect on new data: a band of their 95 % intervals, and a line."""
    if not expected:
        return
    low, high = ([f"{x(cost):.1f} {y(each.interval[end]):.1f}" for cost, each in expected] for end in (0, 1))
    yield f'<path class="band" d="M{"L".join([*low, *reversed(high)])}Z"/>'
    middle = "L".join(f"{x(cost):.1f} {y(each.quality):.1f}" for cost, each in expected)
    yield f'<path class="expected" d="M{middle}"/>'


def _axes(x: PixelScale, y: PixelScale, cost: str, axis: str, quality: str) -> Iterator[str]:
    """Grid lines, tick labels and the names of both axes as SVG elements."""
    for value in x.ticks():
        at = x(value)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{plain(value, cost)}</text>'
    levels = y.ticks()
    decimals = max((len(f"{100 * v:.6g}".partition(".")[2]) for v in levels), default=0)
    for value in levels:
        at = y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{100 * value:.{decimals}f}</text>'
    yield f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    yield (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(cost_axis(cost, axis))}</text>"
    )
    yield (
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(quality)} (%)</text>"
    )


def plain(value: float, cost: str) -> str:
    """A cost without markup: '93.7M' of FLOPs, '0.00052' of anything else."""
    if cost != "flops":
        return f"{value:.4g}"
    size, letter = next(((s, n) for s, n in SCALES if abs(value) >= s), (1.0, ""))
    return f"{value / size:.4g}{letter}" if value / size >= 999.5 else f"{value / size:.3g}{letter}"


def _data(texts: Sequence[str]) -> str:
    """JSON that cannot end its script element."""
    text = json.dumps(list(texts), ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")
    return f'<script type="application/json" id="points">{text}</script>'


def _sign(text: str, style: str, shape: str) -> str:
    return f'<span><svg viewBox="-6 -6 12 12" style="{style}">{shape}</svg>{text}</span>'


def _legend(marks: Marks) -> str:
    """The signs that are drawn."""
    signs = [
        _sign("single model", "fill:#000", DIAMOND),
        _sign("cascade", "fill:#0072b2", '<circle r="4.5"/>'),
        _sign("ensemble", "fill:#d55e00", '<rect x="-4.5" y="-4.5" width="9" height="9"/>'),
    ]
    if marks.test:
        signs.append(_sign("the same on test", "fill:none;stroke:#0072b2", '<circle r="4"/>'))
    if marks.expected:
        dashes = "stroke:#009e73;stroke-width:2;stroke-dasharray:4 2"
        signs.append(_sign("expected on new data, 95 % band", dashes, '<path d="M-6 0H6"/>'))
    signs.append(_sign("the committee above", "fill:none;stroke:#b0568a;stroke-width:2.5", '<circle r="4"/>'))
    return f'<p class="legend">{"".join(signs)}<span class="screen">point at a mark to read it</span></p>'
