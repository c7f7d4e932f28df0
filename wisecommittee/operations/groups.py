"""The figures of a committee by group of units: by class, by predicted class, by a column of the labels file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import CommitteeError, option
from wisecommittee.operations.outcomes import UnitOutcomes, unit_outcomes
from wisecommittee.operations.unit_columns import column_of_file, column_of_split
from wisecommittee.searches.members import judged
from wisecommittee.statistics.groups import Interval, mean_interval, share_interval, simultaneous_level
from wisecommittee.store import StoreLike, open_store

SMALL = 10  # groups of fewer units are pooled
POOLED = "smaller groups"


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The figures of a committee on one group of units.

    Parameters
    ----------
    group : str
        Value of the column; 'smaller groups' for all groups of fewer than 10 units together.
    pooled : int
        Number of values of the column in the group: 1, unless it stands for smaller groups.
    n : int
        Number of units.
    quality, average_cost : float
    interval, cost_interval : (float, float)
        95 % intervals of this group alone.
    simultaneous_interval, simultaneous_cost_interval : (float, float)
        Intervals of which those of all groups hold together in 95 % of samples.
    exit_ratios : tuple of float
        Share of the units that exit at each stage, [K].
    """

    group: str
    pooled: int
    n: int
    quality: float
    interval: Interval
    simultaneous_interval: Interval
    average_cost: float
    cost_interval: Interval
    simultaneous_cost_interval: Interval
    exit_ratios: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields, with tuples as lists."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def evaluate_by(
    committee: Committee | str | os.PathLike[str],
    store: StoreLike,
    by: str,
    split: str = "test",
    *,
    by_file: str | os.PathLike[str] | None = None,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> list[GroupFigures]:
    """Evaluate a committee on each group of units of a split.

    Parameters
    ----------
    committee : Committee or path
    store : LogitStore or path
    by : str
        'label' or 'class': the label of a unit; 'predicted': the committee's answer; or a column by which the labels
        file of the split groups units.
    split : str
    by_file : path, optional
        A table, .csv or .parquet, with unit_id and the column `by`, which is read from it instead.
    force, cost, threads
        As of `evaluate`.

    Returns
    -------
    list of GroupFigures
        The least accurate group first. Groups of fewer than 10 units are pooled into one, which stands last. Intervals
        are exact or conservative for groups of any size.

    Raises
    ------
    AbsentNameError
        There is no such column.
    CommitteeError, StoreError
        As of `evaluate`; also if the quality is no mean over units (mIoU).
    """
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    source = judged([chosen], open_store(store), split)
    outcomes = unit_outcomes(chosen, source, split, force=force, cost=cost, threads=threads)
    if outcomes.quality is None:
        source.labels(split)  # raises for a split without labels
        raise CommitteeError(f"mIoU is no mean over units and has no figures by group; leave {option('by')} out")
    if by_file is not None:
        column = column_of_file(by_file, by, source.unit_ids(split))
    else:
        column = column_of_split(source, split, by, outcomes.prediction)
    return group_figures(outcomes, column)


def group_figures(outcomes: UnitOutcomes, column: NDArray[np.str_]) -> list[GroupFigures]:
    """The figures of the groups of units with equal text in a column [N]; see `evaluate_by`."""
    names, group, sizes = np.unique(column, return_inverse=True, return_counts=True)
    small = int((sizes < SMALL).sum())
    if small < 2:
        small = 0
    members = [(str(name), 1, group == k) for k, name in enumerate(names) if not small or sizes[k] >= SMALL]
    level = simultaneous_level(len(members) + bool(small))
    figures = [_figures(outcomes, *each, level) for each in members]
    figures.sort(key=lambda each: (each.quality, each.group))
    if small:
        figures.append(_figures(outcomes, POOLED, small, sizes[group] < SMALL, level))
    return figures


def _figures(outcomes: UnitOutcomes, name: str, pooled: int, units: NDArray[np.bool_], level: float) -> GroupFigures:
    assert outcomes.quality is not None
    quality, cost = outcomes.quality[units], outcomes.cost[units]

    def of_quality(at: float) -> Interval:
        if outcomes.counts:
            return share_interval(int(quality.sum()), len(quality), at)
        return mean_interval(quality, (0.0, 1.0), at)

    return GroupFigures(
        name,
        pooled,
        len(quality),
        float(quality.mean()),
        of_quality(0.95),
        of_quality(level),
        float(cost.mean()),
        mean_interval(cost, outcomes.cost_range, 0.95),
        mean_interval(cost, outcomes.cost_range, level),
        outcomes.exit_ratios(units),
    )
