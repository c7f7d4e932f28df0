"""Committees and single models by cost and quality: the frontier of one search, or of several (Wang et al., Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from wisecommittee.analyses.study import Study, spread
from wisecommittee.errors import UsageError
from wisecommittee.report import published as printed
from wisecommittee.report.style import (
    NOUNS,
    PUBLISHED,
    SERIES,
    SHAPES,
    coordinates,
    entry,
    legend,
    marker_size,
    name_axes,
    name_points,
    sample,
    scatter,
)
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.hull import hull
from wisecommittee.tasks.task import agreement_with

HOLLOW = 400  # committees evaluated again on test at most
EXPECTED = SERIES[2][0]  # colour
BETWEEN = 20  # points of a straight line of the hull
DRAWN = 1000  # points of a frontier at most; more lie closer than a printer can part


def frontier(
    ax: Axes,
    frontier: Frontier,
    *,
    test: Iterable[Evaluation] | None = None,
    ensembles: Frontier | None = None,
    published: Mapping[str, tuple[float, float]] | None = None,
    label_points: bool = True,
    band: bool = False,
    quality: str | None = None,
) -> Axes:
    """Draw the frontier of a search with all single models of its pool (Wang et al. 2022, Fig. 2).

    The x axis is the figure of the cost that the search ran over. A second line with its 95 % band is what the
    committees are expected to reach on new data, where the frontier has these figures. Over the average cost, a thin
    line is what mixtures of two committees have in expectation. The legend stands above the
    axes, in the place of a title: give a figure layout="constrained" and use its suptitle.

    Parameters
    ----------
    ax : Axes
    frontier : Frontier
    test : iterable of Evaluation, optional
        Committees of the frontier and single models on another split, drawn hollow.
    ensembles : Frontier, optional
        The frontier of a search with family='ensemble', drawn as a thin line.
    published : {name: (average cost, quality in [0, 1])}, optional
        Published points.
    label_points : bool
        Name the single models. If space is short, the most accurate models for their cost are named first.
    band : bool
        Draw the 95 % intervals that the frontier would have if nobody had chosen it.
    quality : str, optional
        What the y axis measures, in percent; by default agreement where labels are a model's, else top-1 accuracy.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        `test` or `ensembles` is over another cost than the frontier.
    """
    evaluations, singles = spread(list(frontier), DRAWN), list(frontier.singles)
    reported = [] if test is None else list(test)
    thin = [] if ensembles is None else spread(list(ensembles), DRAWN)
    for evaluation in (*reported, *thin):
        if evaluation.committee.cost != frontier.cost:
            raise UsageError(f"costs in {evaluation.committee.cost} and in {frontier.cost} cannot share an axis")
    if ensembles is not None and ensembles.axis != frontier.axis:
        raise UsageError(f"the {ensembles.axis} and the {frontier.axis} cost cannot share an axis")
    axis = frontier.axis
    size = marker_size(len(evaluations))
    costs, qualities = coordinates(evaluations, axis)
    blue = SHAPES["cascade"][0]
    ax.plot(costs, qualities, "-", color=blue, linewidth=1.2, zorder=2.5, label=f"frontier on {sample(evaluations)}")
    if band:
        low, high = zip(*(e.interval for e in evaluations), strict=True)
        ax.fill_between(
            costs, low, high, color=blue, alpha=0.13, linewidth=0, zorder=1, label="95 % interval, had nobody chosen"
        )
    if frontier.expected:
        _expected_line(ax, frontier)
    if axis == "average":
        _hull_line(ax, frontier)
    if thin:
        orange = SHAPES["ensemble"][0]
        ax.plot(*coordinates(thin, axis), "-", color=orange, linewidth=0.9, marker="s", markersize=2.5, zorder=2.2,
                label="ensembles only")  # fmt: skip
    scatter(ax, singles, "single", 6.0, NOUNS["single"], axis=axis)
    for shape in ("ensemble", "cascade"):
        scatter(ax, [e for e in evaluations if e.committee.shape == shape], shape, size, NOUNS[shape], axis=axis)
    for shape in SHAPES:
        scatter(ax, [e for e in reported if e.committee.shape == shape], shape, size, None, hollow=True, axis=axis)
    others = dict(published or {})
    if others:
        x, y = zip(*others.values(), strict=True)
        ax.plot(x, y, "*", color=PUBLISHED, markersize=9, markeredgewidth=0, zorder=4, label="published")
    evaluations_drawn = coordinates([*singles, *reported, *thin], axis)[0]
    name_axes(ax, frontier.cost, [*costs, *evaluations_drawn, *(c for c, _ in others.values())], axis)
    ax.set_ylabel(f"{quality or _quality_of(frontier)} (%)")
    name_points(ax, singles if label_points else [], others, axis)
    return legend(ax, {f"the same on {sample(reported)}": _hollow_marks(reported)} if reported else {})


def _expected_line(ax: Axes, frontier: Frontier) -> None:
    """The figures to expect on new data, at the costs of their committees, with their 95 % intervals."""
    shown = spread(list(zip(frontier, frontier.expected, strict=True)), DRAWN)
    costs = [frontier.x(e) for e, _ in shown]
    low, high = zip(*(expected.interval for _, expected in shown), strict=True)
    ax.fill_between(costs, low, high, color=EXPECTED, alpha=0.15, linewidth=0, zorder=1)
    ax.plot(costs, [expected.quality for _, expected in shown], "--", color=EXPECTED, linewidth=1.2, zorder=2.4,
            label="expected on new data, 95 % band")  # fmt: skip


def _hull_line(ax: Axes, frontier: Frontier) -> None:
    """What mixtures of two committees have in expectation: straight lines, which an axis of logarithms bends."""
    costs, qualities = coordinates(hull(list(frontier)))
    if 1 < len(costs) < len(frontier):
        between = np.unique([np.linspace(*ends, BETWEEN) for ends in pairwise(costs)])
        ax.plot(between, np.interp(between, costs, qualities), "-", color="0.35", linewidth=0.7, zorder=2.1,
                label="mixtures of two")  # fmt: skip


def _hollow_marks(reported: Sequence[Evaluation]) -> tuple[Line2D, ...]:
    """One hollow mark for each shape of committee among them, for the legend."""
    shapes = {e.committee.shape for e in reported}
    return tuple(
        Line2D([], [], linestyle="none", marker=marker, color=color, fillstyle="none", markersize=5)
        for shape, (color, marker, _) in SHAPES.items()
        if shape in shapes
    )


def _quality_of(frontier: Frontier) -> str:
    """The name of the quality on an axis, as far as the search says it."""
    trusted = frontier.query.labels_from
    return "top-1 accuracy" if trusted is None else agreement_with(trusted)


def frontiers(
    ax: Axes,
    frontiers: Mapping[str, Frontier],
    *,
    singles: bool = True,
    label_points: bool = False,
    quality: str | None = None,
) -> Axes:
    """Draw several frontiers over the same cost, each with its own colour, dashes and markers.

    Parameters
    ----------
    ax : Axes
    frontiers : {name: Frontier}
    singles : bool
        Also draw the single models of their pools.
    label_points, quality
        As of `frontier`.

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There is no frontier, there are more than line styles, or they do not share one cost.
    """
    if not frontiers:
        raise UsageError("frontiers: name at least one, for example {'cascades': frontier}")
    if len(frontiers) > len(SERIES):
        raise UsageError(f"{len(frontiers)} frontiers in one plot; at most {len(SERIES)} can be told apart")
    costs = sorted({f.cost for f in frontiers.values()})
    if len(costs) > 1:
        raise UsageError(f"costs in {' and in '.join(costs)} cannot share an axis")
    if len(axes := sorted({f.axis for f in frontiers.values()})) > 1:
        raise UsageError(f"the {' and the '.join(axes)} cost cannot share an axis")
    axis = axes[0]
    pool = {e.committee.label(): e for f in frontiers.values() for e in f.singles} if singles else {}
    if pool:
        scatter(ax, list(pool.values()), "single", 5.0, NOUNS["single"], axis=axis)
    for z, ((name, searched), (color, marker, dashes)) in enumerate(zip(frontiers.items(), SERIES, strict=False)):
        evaluations = spread(list(searched), DRAWN)
        ax.plot(
            *coordinates(evaluations, axis),
            color=color,
            linestyle=dashes,
            linewidth=1.3,
            marker=marker,
            markersize=5,
            markevery=max(1, len(evaluations) // 15),
            markeredgewidth=0,
            zorder=2.5 + z / 100,
            label=entry(name),
        )
    evaluations_drawn = [*pool.values(), *(e for f in frontiers.values() for e in f)]
    name_axes(ax, costs[0], coordinates(evaluations_drawn, axis)[0], axis)
    named = quality or _quality_of(next(iter(frontiers.values())))
    ax.set_ylabel(f"{named} (%) on {sample(evaluations_drawn)}")
    name_points(ax, list(pool.values()) if label_points else [], {}, axis)
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The frontier with its figures to expect, and its committees and single models on the reporting split."""
    searched = study.frontier_with_expected()
    again = [*spread(list(searched), HOLLOW), *searched.singles]
    as_printed = study.published and (searched.cost, searched.axis) == ("flops", "average")
    return {
        "frontier": searched,
        "test": [e for e in study.reported_where_possible(again) if e] or None,
        "ensembles": study.search(family="ensemble", axis=searched.axis) if study.ensembles else None,
        "published": printed.points() if as_printed else None,
        "quality": study.quality,
    }
