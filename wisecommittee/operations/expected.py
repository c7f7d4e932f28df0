"""The figures that committee.json carries, as the reference of a stream where the store has no reference split."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from wisecommittee.committees.fields import shown
from wisecommittee.errors import CommitteeError
from wisecommittee.operations.outcomes import Numbers, UnitOutcomes
from wisecommittee.operations.watching import UnitValues

MOST = 1_000_000  # values of a sample


def expected_values(expected: Mapping[str, Any], live: UnitOutcomes, quality: Numbers | None) -> list[UnitValues]:
    """Average cost and, with labels, accuracy of a stream beside the expected figures; both stand for a sample of two
    values with the same mean and the same 95 % interval. Exits and agreement are not among the expected figures."""
    every = []
    least, most = live.cost_range
    if least < most:
        cost = sample_like(expected, "average_cost", "cost_interval", live.cost_range)
        every.append(UnitValues("average cost", cost, live.cost, live.cost_range))
    if quality is not None:
        every.append(UnitValues(live.measure, sample_like(expected, "quality", "interval", (0.0, 1.0)), quality))
    return [values for values in every if values.measured]


def sample_like(expected: Mapping[str, Any], mean: str, interval: str, bounds: tuple[float, float]) -> Numbers:
    """float64 [n] of the two bounds, but for one value: a sample with mean and standard error of an expected figure.

    mean, interval : names of fields of `expected`.
    """
    low, high = (_number(end, interval) for end in _pair(expected.get(interval), interval))
    centre, (least, most) = _number(expected.get(mean), mean), bounds
    if not least <= centre <= most or not low <= centre <= high:
        raise CommitteeError(
            f'committee: "expected" has {mean} {centre:g} in [{low:g}, {high:g}]; possible are {least:g} to {most:g}'
        )
    share = (centre - least) / (most - least)
    error = (high - low) / (most - least) / (2 * NormalDist().inv_cdf(0.975))
    units = MOST if error == 0 else round(min(MOST, max(1.0, share * (1 - share) / error**2)))
    return np.asarray(least + (most - least) * np.clip(share * units - np.arange(units), 0, 1))


def _pair(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise CommitteeError(f'committee: {name} of "expected" is {shown(value)}; expected two numbers')
    return list(value)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CommitteeError(f'committee: {name} of "expected" is {shown(value)}; expected a number')
    return float(value)
