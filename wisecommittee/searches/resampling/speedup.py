"""How many times less a committee costs than a reference, with what it can be on new units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.percentile import percent_of, units_above
from wisecommittee.statistics.quantiles import quantile_interval
from wisecommittee.statistics.ratio import ratio_interval

Interval = tuple[float, float]


class Speedup(NamedTuple):
    """ratio : of the reference's cost to the committee's; interval : 95 %; limits : one-sided, at 95 %."""

    ratio: float
    interval: Interval
    limits: Interval


def speedup(
    axis: str, reference: NDArray[np.float64], committee: NDArray[np.float64], worst: Interval
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
    """
    if not committee.any() or not worst[1]:
        return None
    if axis == "worst" or (np.ptp(reference) == 0 and np.ptp(committee) == 0):
        ratio = worst[0] / worst[1] if axis == "worst" else float(reference[0] / committee[0])
        return Speedup(ratio, (ratio, ratio), (ratio, ratio))
    if axis == "average":
        ends = [ratio_interval(reference, committee, worst, level) for level in (0.95, 0.90)]
        return Speedup(float(reference.mean() / committee.mean()), ends[0], ends[1])
    percent = percent_of(axis)
    assert percent is not None
    figures = [float(np.sort(costs)[-1 - units_above(percent, len(costs))]) for costs in (reference, committee)]
    if not figures[1]:
        return None
    two_sided, one_sided = (_quantile_ratio(figures[0], committee, worst[1], percent, level) for level in (0.95, 0.90))
    return Speedup(figures[0] / figures[1], two_sided, one_sided)


def _quantile_ratio(
    reference: float, committee: NDArray[np.float64], worst: float, percent: float, level: float
) -> Interval:
    low, high = quantile_interval(committee, percent / 100, level) or (float(committee.min()), worst)
    return reference / high, reference / low if low else float("inf")
