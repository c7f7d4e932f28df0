"""The units of a split in a committee: where each exits, what that costs, and whether the answer is right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.exits import answered_units, exits, predictions_of, statistics_of
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import LogitStore
from wisecommittee.store.checks import has_labels

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UnitOutcomes:
    """The units of a split in a committee, in the order of the store.

    Parameters
    ----------
    committee : Committee
    split : str
    stage : int64 [N]
        The last stage that each unit runs, from 0.
    cost : float64 [N]
        In units of the committee's cost.
    cost_range : (float, float)
        Least and largest cost of any unit.
    quality : float64 [N] or None
        Right (1) or wrong (0), or the grade in [0, 1]; None for units without labels, and where the quality is no mean
        over units (mIoU).
    counts : bool
        Whether units are right or wrong.
    prediction : integer class or text [N], or None
        The answer at the exit; None for counts of pixels.
    agreement : float64 [N] or None
        1 where the answer at the exit is that after the first stage, else 0; NaN for units that run one stage.
    measure : str
        The name of the quality.
    answered : bool [N] or None
        Which units get an answer; None for a committee that always answers.
    """

    committee: Committee
    split: str
    stage: NDArray[np.int64]
    cost: Numbers
    cost_range: tuple[float, float]
    quality: Numbers | None
    counts: bool
    prediction: NDArray[np.generic] | None
    agreement: Numbers | None
    measure: str = "accuracy"
    answered: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.stage)

    def exit_ratios(self, units: NDArray[np.integer] | NDArray[np.bool_] | slice = slice(None)) -> tuple[float, ...]:
        """Share of these units (by default all) that exit at each stage, [K]."""
        stage = self.stage[units]
        return tuple((np.bincount(stage, minlength=len(self.committee.stages)) / max(1, len(stage))).tolist())


def unit_outcomes(
    committee: Committee,
    store: LogitStore,
    split: str,
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> UnitOutcomes:
    """Run a committee over the stored outputs of a split; the means of the result are the figures of `evaluate`.

    Parameters and errors are those of `evaluate`.
    """
    charged = committee if cost is None else replace(committee, cost=cost)
    return outcomes_in(members_pool([charged], store, split, force=force, labelled=False), charged, threads)


def outcomes_in(pool: Pool, committee: Committee, threads: int | None = None) -> UnitOutcomes:
    """The units of an open pool in a committee of its models."""
    (table,) = committee_tables(pool, [committee], predict=pool.task.width == 1, threads=thread_count(threads))
    left = exits(table, committee)
    row, units, prediction = left.row, np.arange(pool.units), predictions_of(table, left)
    paid = table.cost[row] if table.cost.ndim == 1 else table.cost[row, units]
    measured = pool.task.width == 1 and (not pool.task.exact_match or has_labels(pool.labels))
    agreement = None
    if table.prediction is not None:
        first = np.array([table.row_of[route[:1]] for route in table.routes])[row]
        agreement = np.where(row == first, np.nan, prediction == table.prediction[first, units])
    return UnitOutcomes(
        committee,
        pool.split,
        np.array([route[-1] for route in table.routes])[row],
        paid.astype(np.float64) * float(pool.cost.unit),
        (float(table.cost.min() * pool.cost.unit), float(table.cost.max() * pool.cost.unit)),
        statistics_of(table, pool.task, left)[:, 0] / np.float64(pool.task.scale) if measured else None,
        pool.task.counts,
        prediction,
        agreement,
        pool.task.measure,
        answered_units(committee, left),
    )
