"""Texts that get their positions when the figure is drawn, so that they fit at any size, resolution and limits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from wisecommittee.text import shown

RADII = (6.0, 12.0, 20.0, 30.0, 42.0)  # points from a mark to its name, nearest first
LEADER_FROM = 15.0  # from this distance on a thin line leads to the mark
DIRECTIONS = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # preferred first
CLEAR = 3.0  # points that stay free around marks
CROSSED = 1.5  # penalty for each sampled point of a line under a name, in points of distance
CROWDED = 8.0  # penalty for another mark beside a name, in points of distance: a reader might take it for its name
RAISED = -0.04  # of its height: text beside a mark is centred on its small letters


class Name(Annotation):
    """The name of a mark, drawn if Names has found free space for it."""

    placed = True

    def draw(self, renderer: RendererBase) -> None:
        if self.placed:
            super().draw(renderer)


class Names(Artist):
    """Arranges the names of marks on an Axes without overlaps; a name without free space near its mark is left out.

    Greedy and deterministic: names in the given order, each at the nearest free position in a fixed order of
    directions. Names never touch other names, marks or the border, and cover a line only where the next free position
    is far away.
    """

    def __init__(self, ax: Axes, names: Sequence[str], points: Sequence[tuple[float, float]], **style: Any) -> None:
        super().__init__()
        self.set_in_layout(False)
        self.set_zorder(-1)  # drawn first, so that every name has its position when it is drawn
        leader = {"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "shrinkA": 0, "shrinkB": 2}
        fixed: dict[str, Any] = {"va": "bottom", "in_layout": False, "parse_math": False, "zorder": 5}
        self.names = [
            Name(shown(name), point, (0, 0), textcoords="offset points", arrowprops=leader, **fixed, **style)
            for name, point in zip(names, points, strict=True)
        ]
        for name in self.names:
            ax.add_artist(name)
        ax.add_artist(self)

    def draw(self, renderer: RendererBase) -> None:
        ax = self.axes
        if not isinstance(ax, Axes):
            return
        unit = float(cast(float, renderer.points_to_pixels(1.0)))
        marks, lines = _drawn(ax, 4 * unit)
        inside = ax.get_window_extent(renderer).padded(-2 * unit)
        taken: list[Bbox] = []
        for name in self.names:
            mark = ax.transData.transform(name.xy)
            name.update_positions(renderer)
            extent = Text.get_window_extent(name, renderer)
            size = (round(extent.width, 2), round(extent.height, 2))  # free of where it stands now
            position = _free_position(mark, size, inside, taken, marks, lines, unit)
            name.placed = position is not None
            if position is None:
                continue
            box, leader = position
            taken.append(box)
            lines = np.concatenate([lines, leader])
            offset = (round(float(box.x0 - mark[0]) / unit, 2), round(float(box.y0 - mark[1]) / unit, 2))
            if offset != name.get_position():  # setting it asks for another draw
                name.set_position(offset)
            assert name.arrow_patch is not None
            name.arrow_patch.set_visible(len(leader) > 0)


def _free_position(
    mark: NDArray[np.float64],
    size: tuple[float, float],
    inside: Bbox,
    taken: Sequence[Bbox],
    marks: NDArray[np.float64],
    lines: NDArray[np.float64],
    unit: float,
) -> tuple[Bbox, NDArray[np.float64]] | None:
    """The cheapest free box for a name of this size, and points [n, 2] of the leader to its mark; all in pixels."""
    (x, y), (width, height) = mark, size
    others = marks[np.abs(marks - mark).max(axis=1) > unit]
    best: tuple[float, Bbox, NDArray[np.float64]] | None = None
    for distance in RADII:
        if best is not None and best[0] <= distance:
            break
        for rank, (right, up) in enumerate(DIRECTIONS):
            reach = distance * unit * (0.7 if right and up else 1)
            x0 = x + right * reach + width * (right - 1) / 2
            y0 = y + up * reach + height * ((up - 1) / 2 + (0 if up else RAISED))
            box = Bbox.from_bounds(x0, y0, width, height)
            free = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if not free or any(_overlap(box, other, unit) for other in taken) or _within(box, marks, CLEAR * unit):
                continue
            end = np.clip(mark, box.min, box.max)
            steps = np.linspace(0, 1, 12) if distance >= LEADER_FROM else np.empty(0)
            leader = mark + steps[:, None] * (end - mark)
            if any(_within(other, leader, 0) for other in taken) or _near(leader[3:], marks, CLEAR * unit):
                continue
            cost = distance + 0.1 * rank + CROSSED * _within(box, lines, 0) + CROWDED * _within(box, others, 8 * unit)
            if best is None or cost < best[0]:
                best = (cost, box, leader)
    return None if best is None else best[1:]


def _overlap(a: Bbox, b: Bbox, gap: float) -> bool:
    return a.x0 < b.x1 + gap and b.x0 < a.x1 + gap and a.y0 < b.y1 + gap and b.y0 < a.y1 + gap


def _within(box: Bbox, points: NDArray[np.float64], clear: float) -> int:
    """How many of the points [n, 2] lie in a box or within `clear` of it, in pixels."""
    x, y = points.T
    inside = (x > box.x0 - clear) & (x < box.x1 + clear) & (y > box.y0 - clear) & (y < box.y1 + clear)
    return int(inside.sum())


def _near(points: NDArray[np.float64], marks: NDArray[np.float64], clear: float) -> bool:
    return bool((np.abs(points[:, None, :] - marks[None]).max(axis=2) < clear).any())


def _drawn(ax: Axes, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The marks and, sampled every `step` pixels, the lines of an Axes; float64 [n, 2] in pixels."""
    marks, lines = [np.empty((0, 2))], [np.empty((0, 2))]
    for line in ax.lines:
        points = line.get_transform().transform(line.get_xydata())
        points = points[np.isfinite(points).all(axis=1)]
        if line.get_marker() not in ("None", "none", "", " ", None):
            marks.append(points)
        if line.get_linestyle() not in ("None", "none", "", " ", None):
            for a, b in itertools.pairwise(points):
                pieces = int(np.clip(np.hypot(*(b - a)) / step, 1, 1000))
                lines.append(a + np.linspace(0, 1, pieces + 1)[:, None] * (b - a))
    return np.concatenate(marks), np.concatenate(lines)


class Fitted(Text):
    """A text that shrinks to a width `room` in data units; below a size of `least` points it is not drawn."""

    def __init__(self, x: float, y: float, text: str, *, room: float, least: float, size: float, **style: Any) -> None:
        super().__init__(x, y, shown(text), fontsize=size, in_layout=False, parse_math=False, **style)
        self.room, self.least, self.wanted = room, least, size

    def draw(self, renderer: RendererBase) -> None:
        if self.axes is None:
            return
        (left, _), (right, _) = self.axes.transData.transform([(0, 0), (self.room, 0)])
        font, fitting = self.get_fontproperties().copy(), self.wanted
        for _ in range(4):  # hinting: the width is not quite proportional to the size
            font.set_size(fitting)
            wide = renderer.get_text_width_height_descent(self.get_text(), font, False)[0]
            if wide <= abs(right - left):
                break
            fitting *= 0.99 * abs(right - left) / wide
        if fitting < self.least:
            return
        if fitting != self.get_fontsize():
            self.set_fontsize(fitting)
        super().draw(renderer)
