"""Correctness smoothed over confidence: a part of each unit's is that of the units with like confidences.

Whether a unit is right is a draw with a probability that rises with its confidence. A search of counts also fits the
draws. The probabilities (by isotonic regression) are free of that, but units that pass a stage are harder than others
of their confidence, which only the counts know. Up to 1,000 units the mean of both serves best, with more units less of
the probabilities (docs/honesty.md). Their sum over all units is the number right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.stages.correctness import Correctness
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.strategies.problem import Problem
from wisecommittee.tasks.task import Interval, Task

SCALE = 100  # the statistic of a unit that is surely right
MOST_SMOOTHED, SMOOTHED_UNITS = 0.5, 500  # the smoothed part is at most the first, and worth so many units
MOST_UNITS = 20_000  # of more, counts are smooth enough, and the sweeps of fractions are slow


class Smoothed(Task):
    """The expected correctness of a unit, in hundredths."""

    name = "smoothed"
    label = "smoothed accuracy"
    kinds = ()

    @property
    def scale(self) -> int:
        return SCALE

    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> Never:
        raise NotImplementedError

    def intervals(self, statistics: NDArray[np.int32]) -> Sequence[Interval | None]:
        return [None] * len(statistics)


def smoothed(problem: Problem) -> Problem:
    """The problem with smoothed correctness, where its stage tables hold a count or a grade of each unit."""
    tables, task = problem.tables, problem.pool.task
    if tables is None or task.width > 1 or problem.pool.units > MOST_UNITS:
        return problem
    pool = replace(problem.pool, task=Smoothed())
    smooth = replace(tables, pool=pool, correct=_smooth_correctness(tables, task.scale))
    return replace(problem, pool=pool, tables=smooth)


def _smooth_correctness(tables: StageTables, scale: int) -> Correctness:
    """The correctness of all prefixes, smoothed where their confidences are known."""
    nodes, part = len(tables.score_row), min(MOST_SMOOTHED, SMOOTHED_UNITS / tables.pool.units)
    out = Correctness.empty(nodes, tables.pool.units, SCALE)
    for node, row in enumerate(tables.score_row.tolist()):
        share = tables.correct.row(node) / scale
        if row >= 0:
            score = tables.score[row]
            share = _rounded(share + part * (_isotonic(score, share) - share), np.argsort(score, kind="stable"))
        out.put(node, np.rint(SCALE * share).astype(np.int32))
    return out


def _rounded(shares: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares in whole hundredths. Their sums up to each unit in this order are rounded, so that no threshold on the
    score sums up rounding errors."""
    sums = np.rint(SCALE * np.cumsum(shares[order]))
    out = np.empty_like(shares)
    out[order] = np.diff(sums, prepend=0.0) / SCALE
    return out


def _isotonic(score: NDArray[np.float32], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N]: the rising function of the score that is nearest to the shares."""
    from scipy.optimize import isotonic_regression

    _, place, units = np.unique(score, return_inverse=True, return_counts=True)
    means = np.bincount(place, share) / units
    return np.asarray(isotonic_regression(means, weights=units).x)[place]
