"""Estimates of the figures that a chosen committee has on new units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.expected import Expected, Interval
from wisecommittee.searches.percentile import units_above
from wisecommittee.searches.resampling.cross_fit import CrossFit
from wisecommittee.searches.resampling.fitted import Fitted, interval_of_mean, interval_within, quality_of, widened
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.searches.stages.exit_table import stage_indices
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.statistics.best_of_many import flattery
from wisecommittee.statistics.binomial import wilson_interval
from wisecommittee.statistics.quantiles import quantile_interval

MOVED = 1.0  # weight of the units on which the choices of folds differ (Fitted.wider)


def expected_figures(crossfit: CrossFit, fitted: Fitted, chosen: Outcomes, committee: Committee) -> Expected:
    """The expected figures of a committee.

    Parameters
    ----------
    crossfit : CrossFit
    fitted : Fitted
        Cross-fitted outcomes of the rule that chose the committee.
    chosen : Outcomes
        Of the committee itself on all units.
    committee : Committee
    """
    pool, costs = crossfit.pool, expected_costs(committee, fitted, chosen)
    cost, (least, most) = costs.mean(axis=0) * float(pool.cost.unit), possible_costs(pool, committee)
    bounds = min(least, float(cost.min())), max(most, float(cost.max()))  # committees of folds may cost less or more
    dearest = pool.cost.true(int(np.sort(chosen.cost)[-1 - units_above(99, len(cost))]))
    above = (chosen.cost * float(pool.cost.unit) > dearest).astype(np.float64)
    ends = quantile_interval(chosen.cost, 0.99, independent=len(cost) / fitted.sharing(above))
    paid = cost if fitted.groups is None else fitted.observations(cost)
    return Expected(
        fitted.quality,
        expected_interval(fitted),
        pool.cost.true(int(costs.sum()), costs.size),
        interval_within(paid, bounds) if bounds[0] < bounds[1] else bounds,
        dearest,
        None if ends is None else (pool.cost.true(int(ends[0])), pool.cost.true(int(ends[1]))),
        quality_of(pool.task, chosen) - fitted.quality,
        len(cost),
        len(crossfit.repeats[0]),
        len(crossfit.repeats),
        grouped_by=crossfit.grouped_by,
        groups=None if fitted.groups is None else len(paid),
    )


def expected_costs(committee: Committee, fitted: Fitted, chosen: Outcomes) -> NDArray[np.int64]:
    """int64 [repeats, N]: what each unit costs, from which the average is expected.

    A policy that is fitted to units is cheaper on these than on others: its costs are those of the committees of the
    folds. Thresholds hardly are, and the costs of the committee itself [1, N] vary less.
    """
    inner = [part.policy.policy if isinstance(part.policy, Abstaining) else part.policy for part in committee.parts]
    if all(isinstance(policy, Thresholds) for policy in inner):
        return chosen.cost[None]
    return np.stack([each.cost for each in fitted.outcomes])


def possible_costs(pool: Pool, committee: Committee) -> tuple[float, float]:
    """The least and the most that a committee can cost on a unit: that of its cheapest first stage, and that of all
    members. A cost that varies per unit can be 0, and is at most that of the dearest unit."""
    fees = [part.policy.fee(pool.cost.name) for part in committee.parts]
    worst = pool.cost.true(int(pool.cost.stages(stage_indices(pool, committee))[-1].max())) + max(fees)
    if pool.cost.per_unit is not None:
        return 0.0, worst
    first = [stage_indices(pool, part)[route[0]] for part in committee.parts for route in part.routes]
    return min(pool.cost.true(int(pool.cost.stages([stage])[0])) for stage in first) + min(fees), worst


def expected_interval(fitted: Fitted) -> Interval:
    """95 % interval of the quality: Wilson's where units are right or wrong, else by resamples."""
    quality, wider = fitted.quality, fitted.wider(fitted.worth, MOVED)
    if fitted.task.counts:
        independent = len(fitted.worth) / (wider**2 * fitted.sharing(fitted.worth))
        return wilson_interval(quality * independent, independent)
    of_mean = interval_of_mean(fitted.task, fitted.observations(fitted.worth), 0.95, (0.0, 1.0))
    return widened(quality, of_mean, wider, (0.0, 1.0))


def less_flattered(expected: Expected, fitted: Fitted, models: Sequence[Outcomes]) -> Expected:
    """The expected figures of the best of several models, which its figures flatter; the interval also covers those of
    a model that was named before the units were seen."""
    rows = np.stack([fitted.task.worth(each.statistics) for each in models])
    if fitted.groups is not None:
        rows = np.stack([fitted.observations(row) for row in rows])
    much = max(0.0, flattery(np.zeros(rows.shape[1]), rows).mean)
    low, high = expected.interval
    return replace(
        expected,
        quality=max(0.0, expected.quality - much),
        interval=(max(0.0, low - much), high),
        optimism=expected.optimism + min(much, expected.quality),
    )
