"""What is drawn on an Axes, by the data of its lines and the texts that reach the canvas."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wisecommittee.report import labels


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


def shown(ax):
    """Texts that reach the canvas, recorded from what the renderer is asked to draw."""
    renderer = ax.figure.canvas.get_renderer()
    seen = []
    original = renderer.draw_text
    renderer.draw_text = lambda gc, x, y, text, *rest, **more: (
        seen.append((text, rest[0].get_size_in_points())) or original(gc, x, y, text, *rest, **more)
    )
    drawn(ax)
    return dict(seen)
