"""Percentiles of the costs of units: order statistics, never interpolated."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import exactly

P99 = "p99"  # the percentile of the cost per unit that every evaluation has


def percent_of(axis: str) -> float | None:
    """99.9 of 'p99.9'; None for an axis that is no percentile.

    >>> percent_of("p99.9"), percent_of("worst")
    (99.9, None)
    """
    try:
        percent = float(axis[1:]) if axis[:1] == "p" else math.nan
    except ValueError:
        return None
    return percent if 0 < percent <= 100 else None


def named(percent: float) -> str:
    """'p99.9' of 99.9."""
    return f"p{percent:.12g}"


def units_above(percent: float, units: int) -> int:
    """How many of the units may cost more than a percentile of their costs."""
    return units - math.ceil(exactly(float(percent)) / 100 * units)


def percentiles(costs: NDArray[np.int64], units: NDArray[np.int64], percent: float) -> NDArray[np.int64]:
    """int64 [n]: a percentile of n distributions of the same values.

    costs : int64 [m], in any order; units : int64 [n, m], how many units of each distribution cost so much
    """
    number = int(units[0].sum())
    order = np.argsort(costs, kind="stable")
    beyond = np.cumsum(units[:, order], axis=1) < number - units_above(percent, number)
    return costs[order][beyond.sum(axis=1)]
