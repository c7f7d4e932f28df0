"""Evaluation of committees on a split. Every reported figure comes from here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.committees.threshold_vectors import as_bits, batches, continuing, count_bits
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.exits import all_thresholds, exit_rows_of, vectors_of
from wisecommittee.searches.grid.cost_axis import share_above
from wisecommittee.searches.intervals import bootstrap_intervals, normal_interval
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.stages.exit_table import ExitTable, exit_table, prefix_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import StoreLike, open_store
from wisecommittee.tasks import Answers, Classification, Segmentation, Task


def evaluate(
    committee: Committee,
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> Evaluation:
    """Evaluate a committee, of any policy, on a split of a store that holds its members.

    Parameters
    ----------
    committee : Committee
    store : LogitStore or path
    split : str
    force : bool
        Also with members that differ from those the committee was chosen with.
    cost : str, optional
        The cost to charge instead of the committee's.
    threads : int, optional

    Returns
    -------
    Evaluation

    Raises
    ------
    CommitteeError
        If the weights, multiply-adds or calibration of a member differ from those the committee was chosen with.
    """
    return evaluate_all([committee], store, split, force=force, cost=cost, threads=threads)[0]


def evaluate_all(
    committees: Sequence[Committee],
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> list[Evaluation]:
    """Evaluate committees that share confidence, rule and cost, in one pass over their members' outputs.

    Parameters, errors: as of `evaluate`.
    """
    if not committees:
        return []
    pool = members_pool(committees, open_store(store), split, force=force, cost=cost)
    return evaluate_in(pool, committees if cost is None else [replace(c, cost=cost) for c in committees], threads)


def evaluate_in(pool: Pool, committees: Sequence[Committee], threads: int | None = None) -> list[Evaluation]:
    """Evaluate committees of models of an open pool, straight from the stored outputs, in one pass over them."""
    return evaluate_with(pool, prefix_tables(pool, committees, threads=thread_count(threads)), committees)


def evaluate_with(pool: Pool, tables: StageTables, committees: Sequence[Committee]) -> list[Evaluation]:
    """Evaluate committees from stage tables that hold all their prefixes (prefix_tables)."""
    alike: dict[object, list[int]] = {}
    for index, committee in enumerate(committees):
        routes = None if all_thresholds([committee]) else (type(committee.policy), committee.routes)
        alike.setdefault((committee.stages, routes), []).append(index)
    out: dict[int, Evaluation] = {}
    for indices in alike.values():
        same = [committees[index] for index in indices]
        table = exit_table(pool, tables, same[0])
        out.update(zip(indices, evaluate_table(table, same, pool.task, pool.cost, pool.split), strict=True))
    return [out[index] for index in range(len(committees))]


def evaluate_table(
    table: ExitTable, committees: Sequence[Committee], task: Task, charges: CostModel, split: str
) -> list[Evaluation]:
    """Evaluate committees that share an exit table: sum the statistics and the cost of every unit at its exit."""
    units, last = table.units, [route[-1] for route in table.routes]
    exact = not isinstance(task, Segmentation) and task.scale == 1
    if exact and table.cost.ndim == 1 and all_thresholds(committees):
        sums = _counted(table, committees, task)  # type: ignore[arg-type]
    else:
        parts = batches(len(committees), 32 * units)
        sums = [s for part in parts for s in _summed(table, committees[part], task)]
    worst = charges.true(int(np.max(table.cost)))
    return [
        Evaluation(
            committee,
            split,
            units,
            s.correct,
            s.quality,
            charges.true(s.spent, units),
            worst,
            _exit_ratios(s.exits, last, len(committee.stages)),
            charges.true(s.p99),
            {c.name: (c.true(_total(s.exits, cost), units), c.true(int(cost.max()))) for c, cost in table.further},
            s.interval,
            "mIoU" if isinstance(task, Segmentation) else "accuracy",
        )
        for committee, s in zip(committees, sums, strict=True)
    ]


def _exit_ratios(exits: Sequence[int], last: Sequence[int], stages: int) -> tuple[float, ...]:
    """Share of the units whose last stage is k, for each k; exits : units of each row, last : its last stage."""
    counts = np.bincount(last, weights=exits, minlength=stages)
    return tuple((counts / sum(exits)).tolist())


@dataclass(frozen=True, slots=True)
class _Sums:
    """Over all units, of one committee.

    exits : units that exit in each row of the table; correct, quality : as of Evaluation; interval : of a graded
    quality or mIoU; spent : integer cost; p99 : the least integer cost that 99 % of the units do not exceed.
    """

    exits: Sequence[int]
    correct: float
    quality: float
    interval: tuple[float, float] | None
    spent: int
    p99: int


def _counted(table: ExitTable, committees: Sequence[Committee], task: Answers | Classification) -> list[_Sums]:
    """Where units are right or wrong, cost the same and exit by thresholds: by counting bits."""
    rows, units = table.score.shape
    right_at = [as_bits(table.stats[k, :, 0] != 0) for k in range(rows)]
    costs, rank, out = table.cost.tolist(), _p99_rank(units), []
    every = vectors_of(committees)
    for part in batches(len(every), units):
        vectors = every[part]
        before, nobody = as_bits(np.ones(units, dtype=bool))[None], np.zeros((1, 1), np.uint64)
        exits, correct = np.empty((rows, len(vectors)), np.int64), np.zeros(len(vectors), np.int64)
        for k, after in enumerate(itertools.chain(continuing(table.score, vectors), [nobody])):
            leaving = before & ~after
            exits[k] = count_bits(leaving)
            correct += count_bits(leaving & right_at[k])
            before = after
        for counts, right in zip(exits.T.tolist(), correct.tolist(), strict=True):
            p99 = next(cost for cost, done in zip(costs, itertools.accumulate(counts), strict=True) if done > rank)
            out.append(_Sums(counts, right, task.quality(right, units), None, _total(counts, costs), p99))
    return out


def _summed(table: ExitTable, committees: Sequence[Committee], task: Task) -> list[_Sums]:
    """From the statistics and the cost of every unit in the row where it exits."""
    rows, units = table.score.shape
    everyone, rank = np.arange(units), _p99_rank(units)
    flat = table.stats.reshape(rows * units, -1)
    out, grades = [], []
    for row in exit_rows_of(table, committees):
        statistics = np.take(flat, row * units + everyone, axis=0)  # one flat index is twice as fast as two
        exits = np.bincount(row, minlength=rows).tolist()
        paid = table.cost[row] if table.cost.ndim == 1 else table.cost[row, everyone]
        p99 = int(np.partition(paid, rank)[rank])
        out.append(_Sums(exits, *_scored(task, statistics), int(paid.sum(dtype=np.int64)), p99))
        grades.append(statistics[:, 0])
    if isinstance(task, Segmentation) or task.scale == 1:
        return out
    intervals = [(low / task.scale, high / task.scale) for low, high in bootstrap_intervals(np.stack(grades))]
    return [replace(sums, interval=interval) for sums, interval in zip(out, intervals, strict=True)]


def _p99_rank(units: int) -> int:
    """Index of the 99th percentile among the units by rising cost."""
    return units - share_above(units) - 1


def _total(exits: Sequence[int], cost: Sequence[int] | NDArray[np.int64]) -> int:
    return sum(count * int(each) for count, each in zip(exits, cost, strict=True))


def _scored(task: Task, statistics: NDArray[np.int32]) -> tuple[float, float, tuple[float, float] | None]:
    """Correct, quality and, for mIoU, its 95 % interval, from statistics [N, S] of every unit at its exit."""
    totals = statistics.sum(axis=0, dtype=np.int64)
    if isinstance(task, Segmentation):
        quality = float(task.quality(totals))
        return task.correct(totals), quality, normal_interval(quality, statistics @ task.gradient(totals))
    total = int(totals[0])
    return total if task.scale == 1 else total / task.scale, task.quality(total, len(statistics)), None
