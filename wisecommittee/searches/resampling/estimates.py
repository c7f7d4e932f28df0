"""Estimates of the figures that a chosen committee has on new units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.expected import Expected, Interval
from wisecommittee.searches.percentile import share_above
from wisecommittee.searches.resampling.cross_fit import CrossFit
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.statistics.best_of_many import flattery
from wisecommittee.statistics.binomial import wilson_interval
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.quantiles import quantile_interval
from wisecommittee.tasks import Task

# Cross-fitted outcomes of different folds depend on each other a little, and the committee of all units differs from
# those of the folds. Intervals are wider than those of independent outcomes by this factor; docs/honesty.md shows what
# they cover.
WIDER = 1.1


def expected_figures(
    crossfit: CrossFit, outcomes: Sequence[Outcomes], chosen: Outcomes, possible: Interval
) -> Expected:
    """The expected figures of a committee.

    Parameters
    ----------
    crossfit : CrossFit
    outcomes : of each division
        Cross-fitted outcomes of the rule that chose the committee.
    chosen : Outcomes
        Of the committee itself on all units.
    possible : (float, float)
        The least and the most that it can cost on a unit.
    """
    pool = crossfit.pool
    quality, interval = expected_quality(pool.task, outcomes, crossfit.together)
    cost = chosen.cost * float(pool.cost.unit)
    return Expected(
        quality,
        interval,
        pool.cost.true(int(chosen.cost.sum()), len(cost)),
        mean_interval(cost, bounds=possible) if possible[0] < possible[1] else possible,
        float(np.sort(cost)[-1 - share_above(len(cost))]),
        quantile_interval(cost, 0.99),
        _quality_of(pool.task, chosen.statistics) - quality,
        len(cost),
        len(crossfit.repeats[0]),
        len(crossfit.repeats),
    )


def less_flattered(expected: Expected, task: Task, models: Sequence[Outcomes]) -> Expected:
    """The expected figures of the best of several models, which its figures flatter; the interval also covers those of
    a model that was named before the units were seen."""
    rows = np.stack([task.worth(each.statistics) for each in models])
    much = max(0.0, flattery(np.zeros(rows.shape[1]), rows).mean)
    low, high = expected.interval
    return replace(
        expected,
        quality=max(0.0, expected.quality - much),
        interval=(max(0.0, low - much), high),
        optimism=expected.optimism + min(much, expected.quality),
    )


def expected_quality(
    task: Task, outcomes: Sequence[Outcomes], together: NDArray[np.int64] | None = None
) -> tuple[float, Interval]:
    """Quality and its 95 % interval from cross-fitted outcomes of all units, for each division into folds.

    together : int64 [N], the number of the group of units that resemble each other, such as the cells of an image.
    """
    quality = float(np.mean([_quality_of(task, each.statistics) for each in outcomes]))
    worth = np.mean([task.worth(each.statistics) for each in outcomes], axis=0)
    if task.counts:
        independent = len(worth) / WIDER**2
        return quality, wilson_interval(quality * independent, independent)
    if together is not None:
        worth = by_group(worth, together)
    return quality, widened(quality, mean_interval(worth, bounds=(0.0, 1.0)), (0.0, 1.0))


def by_group(values: NDArray[np.float64], together: NDArray[np.int64]) -> NDArray[np.float64]:
    """A value for each group, whose mean over groups is the mean of all values."""
    groups = int(together.max()) + 1
    return np.asarray(np.bincount(together, values) * (groups / len(values)), np.float64)


def widened(centre: float, interval: Interval, bounds: Interval) -> Interval:
    """An interval of independent outcomes as one of cross-fitted outcomes."""
    low, high = (centre + WIDER * (end - centre) for end in interval)
    return max(low, bounds[0]), min(high, bounds[1])


def _quality_of(task: Task, statistics: NDArray[np.int32]) -> float:
    return float(task.quality(statistics.sum(axis=0, dtype=np.int64), len(statistics)))
