"""Estimates of the figures that a chosen committee has on new units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wisecommittee.searches.expected import Expected, Interval
from wisecommittee.searches.percentile import share_above
from wisecommittee.searches.resampling.cross_fit import CrossFit
from wisecommittee.searches.resampling.fitted import Fitted, interval_of_mean, quality_of, widened
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.statistics.best_of_many import flattery
from wisecommittee.statistics.binomial import wilson_interval
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.quantiles import quantile_interval
from wisecommittee.tasks import Task

MOVED = 1.0  # weight of the units on which the choices of folds differ (Fitted.wider)


def expected_figures(crossfit: CrossFit, fitted: Fitted, chosen: Outcomes, possible: Interval) -> Expected:
    """The expected figures of a committee.

    Parameters
    ----------
    crossfit : CrossFit
    fitted : Fitted
        Cross-fitted outcomes of the rule that chose the committee.
    chosen : Outcomes
        Of the committee itself on all units.
    possible : (float, float)
        The least and the most that it can cost on a unit.
    """
    pool, cost = crossfit.pool, chosen.cost * float(crossfit.pool.cost.unit)
    ends = quantile_interval(chosen.cost, 0.99)
    return Expected(
        fitted.quality,
        expected_interval(fitted),
        pool.cost.true(int(chosen.cost.sum()), len(cost)),
        mean_interval(cost, bounds=possible) if possible[0] < possible[1] else possible,
        pool.cost.true(int(np.sort(chosen.cost)[-1 - share_above(len(cost))])),
        None if ends is None else (pool.cost.true(int(ends[0])), pool.cost.true(int(ends[1]))),
        quality_of(pool.task, chosen) - fitted.quality,
        len(cost),
        len(crossfit.repeats[0]),
        len(crossfit.repeats),
    )


def expected_interval(fitted: Fitted) -> Interval:
    """95 % interval of the quality: Wilson's where units are right or wrong, else by resamples."""
    quality, wider = fitted.quality, fitted.wider(fitted.worth, MOVED)
    if fitted.task.counts:
        independent = len(fitted.worth) / wider**2
        return wilson_interval(quality * independent, independent)
    of_mean = interval_of_mean(fitted.task, fitted.observations(fitted.worth), 0.95, (0.0, 1.0))
    return widened(quality, of_mean, wider, (0.0, 1.0))


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
