"""Evaluation of committees on a split. Every reported figure is computed here."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.committees.threshold_vectors import as_bits, batches, continuing, count_bits
from wisecommittee.searches.distribution import NO_DETAIL, CostDetail
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.exits import all_thresholds, answered_units, exits_of, statistics_of, table_key, vectors_of
from wisecommittee.searches.members import judged, members_pool
from wisecommittee.searches.stages.exit_table import ExitTable, exit_table, prefix_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.table_costs import CostFigures, TableCosts
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import StoreLike, open_store
from wisecommittee.store.staleness import warn_if_stale
from wisecommittee.tasks import Task


def evaluate(
    committee: Committee | str | os.PathLike[str],
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
    detail: CostDetail = NO_DETAIL,
) -> Evaluation:
    """Evaluate a committee, with any policy, on a split of a store that holds its members.

    Parameters
    ----------
    committee : Committee or path
        A committee, or its committee.json.
    store : LogitStore or path
    split : str
        Where it has no labels, quality is agreement with the model that the committee was chosen to agree with.
    force : bool
        Also evaluate members that differ from those the committee was chosen with.
    cost : str, optional
        Name of the cost to charge; by default the committee's.
    threads : int, optional
        By default one per core.
    detail : CostDetail, optional
        Percentiles of the cost and shares of units to report beside the usual ones.

    Returns
    -------
    Evaluation
        Quality in [0, 1] with its 95 % interval, costs per unit, and exit ratios.

    Raises
    ------
    CommitteeError
        The split lacks a member, or the weights, multiply-adds or calibration of a member differ from those the
        committee was chosen with.
    StoreError
        The store has no such split.
    """
    chosen, store = committee if isinstance(committee, Committee) else Committee.load(committee), open_store(store)
    warn_if_stale(chosen, store)
    return evaluate_all([chosen], store, split, force=force, cost=cost, threads=threads, detail=detail)[0]


def evaluate_all(
    committees: Sequence[Committee],
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
    detail: CostDetail = NO_DETAIL,
) -> list[Evaluation]:
    """Evaluate committees that share confidence, rule and cost, in one pass over their members' outputs.

    Parameters
    ----------
    committees : sequence of Committee
    store, split, force, cost, threads, detail
        As of `evaluate`.

    Returns
    -------
    list of Evaluation
        In the order of the committees.

    Raises
    ------
    CommitteeError, StoreError
        As of `evaluate`; also if the committees differ in confidence, rule or cost.
    """
    if not committees:
        return []
    source = judged(committees, open_store(store), split)
    pool = members_pool(committees, source, split, force=force, cost=cost)
    pool = replace(pool, detail=detail)
    return evaluate_in(pool, committees if cost is None else [replace(c, cost=cost) for c in committees], threads)


def evaluate_in(pool: Pool, committees: Sequence[Committee], threads: int | None = None) -> list[Evaluation]:
    """Evaluate committees of models of an open pool in one pass over the stored outputs."""
    return evaluate_with(pool, prefix_tables(pool, committees, threads=thread_count(threads)), committees)


def evaluate_with(pool: Pool, tables: StageTables, committees: Sequence[Committee]) -> list[Evaluation]:
    """Evaluate committees from stage tables that hold all their prefixes (prefix_tables)."""
    alike: dict[object, list[int]] = {}
    for index, committee in enumerate(committees):
        alike.setdefault(table_key(committee), []).append(index)
    out: dict[int, Evaluation] = {}
    for indices in alike.values():
        same = [committees[index] for index in indices]
        table = exit_table(tables, same[0])
        evaluations = evaluate_table(table, same, pool.task, pool.cost, pool.split, pool.detail)
        out.update(zip(indices, evaluations, strict=True))
    return [out[index] for index in range(len(committees))]


def evaluate_table(
    table: ExitTable,
    committees: Sequence[Committee],
    task: Task,
    charges: CostModel,
    split: str,
    detail: CostDetail = NO_DETAIL,
) -> list[Evaluation]:
    """Evaluate committees that share an exit table: sum the statistics and the costs of every unit at its exit."""
    units, last = table.units, [route[-1] for route in table.routes]
    costs = TableCosts.of(((charges, table.cost), *table.further), detail)
    if task.counts and not costs.vary and all_thresholds(committees):
        sums = _counted(table, committees, task, costs)
    else:
        parts = batches(len(committees), 32 * units * task.width)
        sums = [s for part in parts for s in _summed(table, committees[part], task, costs)]
    return [
        Evaluation(
            committee,
            split,
            units,
            s.correct,
            s.quality,
            s.costs.figures,
            _exit_ratios(s.exits, last, len(committee.stages)),
            s.interval,
            task.measure,
            s.answered,
            s.costs.distributions,
        )
        for committee, s in zip(committees, sums, strict=True)
    ]


def _exit_ratios(exits: Sequence[int], last: Sequence[int], stages: int) -> tuple[float, ...]:
    """Share of the units that exit at each stage. exits : number of units of each row; last : last stage of each
    row."""
    counts = np.bincount(last, weights=exits, minlength=stages)
    return tuple((counts / sum(exits)).tolist())


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over all units for one committee.

    exits : number of units that exit in each row of the table; correct, quality : as of Evaluation; interval : 95 %
    interval of a graded quality or mIoU, else None; costs : by name; answered : number of units with an answer, None
    for a committee that always answers.
    """

    exits: Sequence[int]
    correct: float
    quality: float
    interval: tuple[float, float] | None
    costs: CostFigures
    answered: int | None = None


def _counted(table: ExitTable, committees: Sequence[Committee], task: Task, costs: TableCosts) -> list[_Sums]:
    """Sums by counting bits, for units that are right or wrong, all cost the same and exit by thresholds."""
    rows, units = table.score.shape
    right_at = [as_bits(table.stats[k, :, 0] != 0) for k in range(rows)]
    every, out = vectors_of(committees), []
    for part in batches(len(every), units):
        vectors = every[part]
        before, nobody = as_bits(np.ones(units, dtype=bool))[None], np.zeros((1, 1), np.uint64)
        exits, correct = np.empty((rows, len(vectors)), np.int64), np.zeros(len(vectors), np.int64)
        for k, after in enumerate(itertools.chain(continuing(table.score, vectors), [nobody])):
            leaving = before & ~after
            exits[k] = count_bits(leaving)
            correct += count_bits(leaving & right_at[k])
            before = after
        quality = task.quality(correct[:, None], units).tolist()
        figures = zip(exits.T.tolist(), correct.tolist(), quality, itertools.repeat(None), costs.counted(exits.T))
        out += [_Sums(*each) for each in figures]
    return out


def _summed(table: ExitTable, committees: Sequence[Committee], task: Task, costs: TableCosts) -> list[_Sums]:
    """Sums over the statistics and the cost of every unit, in the row of the table where it exits."""
    rows, units = len(table.routes), table.units
    statistics = np.empty((len(committees), units, task.width), np.int32)
    exits, paid, answered = [], [], []
    for committee, each, line in zip(committees, exits_of(table, committees), statistics, strict=True):
        given = answered_units(committee, each)
        answered.append(None if given is None else int(given.sum()))
        statistics_of(table, task, each, out=line)
        exits.append(np.bincount(each.row, minlength=rows).tolist())
        paid.append(costs.paid(each.row))
    totals = statistics.sum(axis=1, dtype=np.int64)
    correct, quality = [task.correct(total) for total in totals], task.quality(totals, units).tolist()
    return list(map(_Sums, exits, correct, quality, task.intervals(statistics), paid, answered))
