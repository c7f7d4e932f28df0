"""Frontiers to draw, axes to draw them on, and what stands on the axes then."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wisecommittee.committees.committee import Committee
from wisecommittee.report import labels
from wisecommittee.searches.evaluation import Cost, Evaluation
from wisecommittee.searches.frontier import Frontier

N = 1000


def evaluation(stages, cost, correct, exits=(1.0,), *, unit="flops", split="val"):
    tiers = tuple(tuple(tier.split("+")) for tier in stages.split("|"))
    committee = Committee(tiers, (0.5,) * (len(tiers) - 1), cost=unit)
    return Evaluation(committee, split, N, correct, correct / N, {unit: Cost(cost, 1.5 * cost, 2 * cost)}, tuple(exits))


def frontier_in(unit="flops", scale=1.0):
    a, b, c = (evaluation(m, scale * x, y, unit=unit) for m, x, y in (("a", 10, 700), ("b", 30, 690), ("c", 90, 800)))
    return Frontier(
        (
            a,
            evaluation("a|b", scale * 14, 760, (0.8, 0.2), unit=unit),
            evaluation("a+b", scale * 40, 780, unit=unit),
            evaluation("a|b|c", scale * 60, 850, (0.5, 0.3, 0.2), unit=unit),
        ),
        (a, b, c),
    )


FRONTIER = frontier_in()


def axes(width=6.0, height=4.0):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def figures(evaluations):
    return [(e.average_cost, e.quality) for e in evaluations]


def line_named(ax, start):
    return next(line for line in ax.lines if line.get_label().startswith(start))


def named(ax):
    return {t.get_text(): t for t in ax.texts if isinstance(t, labels.Name) and t.placed}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
