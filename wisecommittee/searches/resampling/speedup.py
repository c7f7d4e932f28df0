"""How many times less a committee costs than a reference, with what it can be on new units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.percentile import percent_of, units_above
from wisecommittee.statistics.clusters import effective_units, group_sums
from wisecommittee.statistics.quantiles import quantile_interval
from wisecommittee.statistics.ratio import ratio_interval

Interval = tuple[float, float]


class Speedup(NamedTuple):
    """ratio : of the reference's cost to the committee's; interval : 95 %; limits : one-sided, at 95 %."""

    ratio: float
    interval: Interval
    limits: Interval


def speedup(
    axis: str,
    reference: NDArray[np.float64],
    committee: NDArray[np.float64],
    worst: Interval,
    groups: NDArray[np.int64] | None = None,
) -> Speedup | None:
    """The ratio of the cost figure that a frontier is over; None where the committee costs nothing.

    Parameters
    ----------
    axis : str
        As of Query.
    reference, committee : float64 [N]
        Cost of each unit.
    worst : (float, float)
        Worst cases of the reference and of the committee.
    groups : int64 [N], optional
        The group of each unit, where units of a group are not independent.
    """
    if not committee.any() or not worst[1]:
        return None
    if axis == "worst" or (np.ptp(reference) == 0 and np.ptp(committee) == 0):
        ratio = worst[0] / worst[1] if axis == "worst" else float(reference[0] / committee[0])
        return Speedup(ratio, (ratio, ratio), (ratio, ratio))
    if axis == "average":
        sums, most = (reference, committee), worst
        if groups is not None:  # a group costs what its units cost together
            sums = group_sums(reference, groups), group_sums(committee, groups)
            largest = int(np.bincount(groups).max())
            most = (largest * worst[0], largest * worst[1])
        ends = [ratio_interval(*sums, most, level) for level in (0.95, 0.90)]
        return Speedup(float(reference.mean() / committee.mean()), ends[0], ends[1])
    percent = percent_of(axis)
    assert percent is not None
    figures = [float(np.sort(costs)[-1 - units_above(percent, len(costs))]) for costs in (reference, committee)]
    if not figures[1]:
        return None
    above = (committee > figures[1]).astype(np.float64)
    few = None if groups is None else effective_units(above, groups)
    two_sided, one_sided = (
        _quantile_ratio(
            figures[0], quantile_interval(committee, percent / 100, level, few), float(committee.min()), worst[1]
        )
        for level in (0.95, 0.90)
    )
    return Speedup(figures[0] / figures[1], two_sided, one_sided)


def _quantile_ratio(reference: float, around: Interval | None, least: float, worst: float) -> Interval:
    low, high = around or (least, worst)
    return reference / high, reference / low if low else float("inf")
