"""A committee beside its reference on a split where nothing was chosen: tests and intervals of paired outcomes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.expected import Interval
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.resampling.cross_fit import image_of_units
from wisecommittee.searches.resampling.fitted import by_group, interval_of_mean
from wisecommittee.searches.resampling.outcomes import outcomes_of
from wisecommittee.searches.stages.exit_table import prefix_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.statistics.clusters import effective_units, group_values
from wisecommittee.statistics.paired import PairedCounts, difference_interval, mcnemar, score_interval
from wisecommittee.store import LogitStore
from wisecommittee.store.groups import groups_of, read_groups


@dataclass(frozen=True, slots=True)
class DifferenceOnTest:
    """The difference of a committee and its reference on units that had no part in the choice.

    Parameters
    ----------
    difference, interval : float, (float, float)
        Quality of the committee less that of the reference, and its 95 % interval.
    p : float
        Of the hypothesis that both are equally good, two-sided.
    n : int
        Units.
    """

    difference: float
    interval: Interval
    p: float
    n: int

    def to_json(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"interval": list(self.interval)}


def compare_on(
    store: LogitStore,
    split: str,
    committee: Committee,
    reference: Committee,
    *,
    group_by: str | None = None,
    threads: int = 1,
) -> DifferenceOnTest:
    """Compare two committees on all units of a split.

    Where units are right or wrong: the exact test of McNemar 1947 and the score interval of Tango 1998. Grades: a
    studentised bootstrap interval; mIoU: Student's interval over whole images; both with the normal p-value of the mean
    difference. Where the split has groups by the column group_by, its units are not independent: the score interval is
    that of as many independent units as are as sure, and the p-value is the normal one.
    """
    both = (committee, reference)
    pool = members_pool(both, store, split)
    outcomes = outcomes_of(prefix_tables(pool, both, threads=threads), both)
    first, second = (pool.task.worth(each.statistics) for each in outcomes)
    if group_by is not None and group_by in read_groups(store, split):
        return _by_groups(pool, first, second, group_by)
    if pool.task.counts:
        counts = PairedCounts.of(first > 0, second > 0)
        return DifferenceOnTest(counts.difference, difference_interval(counts), mcnemar(counts), counts.units)
    gaps, together = first - second, image_of_units(pool)
    if together is not None:
        gaps = by_group(gaps, together)
    interval = interval_of_mean(pool.task, gaps, 0.95, (-1.0, 1.0))
    return DifferenceOnTest(float(gaps.mean()), interval, _p_of_mean(gaps), len(first))


def _by_groups(pool: Pool, first: NDArray[np.float64], second: NDArray[np.float64], group_by: str) -> DifferenceOnTest:
    groups, gaps = groups_of(pool.store, pool.split, group_by), first - second
    values = group_values(gaps, groups)
    interval = interval_of_mean(pool.task, values, 0.95, (-1.0, 1.0))
    if pool.task.counts:
        few = effective_units(gaps, groups) / len(gaps)
        interval = score_interval(few * (gaps > 0).sum(), few * (gaps < 0).sum(), few * len(gaps))
    return DifferenceOnTest(float(gaps.mean()), interval, _p_of_mean(values), len(gaps))


def _p_of_mean(gaps: NDArray[np.float64]) -> float:
    """Of the hypothesis that the mean is 0, from its standard error; 1 where all values are 0."""
    error = float(gaps.std()) / np.sqrt(len(gaps))
    if not error:
        return 1.0 if not gaps.any() else 0.0
    return 2 * NormalDist().cdf(-abs(float(gaps.mean())) / error)
