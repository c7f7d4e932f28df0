"""Bounds on the quality that a search misses if it proves nothing or was not finished."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import CostModel
from wisecommittee.kernels.envelope import UNREACHED
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.stages.blocks import BLOCK_BYTES
from wisecommittee.searches.stages.pool import Pool

MOST_WORK = 3e8  # skip the gap above this many combinations x units, so that Ctrl-C returns within seconds


def gap(sweep: GridSearch, reached: NDArray[np.int64], unfinished: Sequence[tuple[int, ...]]) -> float | None:
    """The most quality by which an unfinished combination can exceed the committees reached at the same average cost.

    reached : int64 [N + 1] as `reached_by` gives it. None if no bound is known: graded quality, costs that vary per
    unit, or too many combinations left.

    A unit that is right exits at best at the first stage whose prefix is right, and costs at least what that stage
    costs; all other units cost at least the first stage. So a combination with `a` units correct costs at least N times
    its first stage plus the `a` smallest extra costs. Limits only forbid committees, so the bound holds under them.
    """
    units, cost, lookup = sweep.units, sweep.axis.cost, sweep.lookup
    if not lookup.correct.bits or cost.per_unit is not None or len(unfinished) * units > MOST_WORK:
        return None
    if not unfinished:
        return 0.0
    least = np.full(units + 1, UNREACHED, np.int64)
    for sequence in unfinished:
        cumulative = cost.cumulative(np.array([sequence]))[0]
        waiting = np.ones(units, dtype=bool)
        total, correct = units * int(cumulative[0]), 0
        for k, stage_cost in enumerate(cumulative):
            right = lookup.correct_of(sequence[: k + 1]).astype(bool)
            more = int((right & waiting).sum())
            waiting &= ~right
            extra = int(stage_cost - cumulative[0])
            totals = total + extra * np.arange(1, more + 1)
            np.minimum(least[correct + 1 : correct + more + 1], totals, out=least[correct + 1 : correct + more + 1])
            total, correct = total + extra * more, correct + more
    return _largest_gap(least, reached) / units


def _largest_gap(least: NDArray[np.int64], reached: NDArray[np.int64]) -> int:
    """The most by which the number correct in `least` exceeds that in `reached` at equal cost. Both are int64 [N + 1],
    least total cost by number correct."""
    possible = np.flatnonzero(least < UNREACHED)
    if not len(possible):
        return 0
    correct = np.maximum(np.searchsorted(reached, least[possible], side="right") - 1, 0)
    return max(0, int((possible - correct).max()))


def router_gap(pool: Pool, evaluations: Sequence[Evaluation]) -> float | None:
    """The most quality by which a committee of any length can exceed these evaluations at the same average cost.

    No committee beats a router that knows for every unit the cheapest way to be right. For a prefix to prefer the label
    to a rival class, one of its members must; so a unit that is right costs at least as much as the cheapest model that
    prefers the label to its strongest rival, and every unit costs at least as much as the cheapest model. None if it is
    not computed: statistics other than right or wrong, costs that vary per unit.
    """
    if pool.cost.per_unit is not None or not pool.task.exact_match:
        return None
    units = pool.units
    alone = pool.cost.worst(np.arange(len(pool.cards))[:, None])
    cheapest = int(alone.min())
    dear = np.sort(router_costs(pool, alone))
    dear = dear[dear < UNREACHED]
    least = np.full(units + 1, UNREACHED, np.int64)
    least[: len(dear) + 1] = units * cheapest + np.r_[0, np.cumsum(dear - cheapest)]
    return _largest_gap(least, reached_by(evaluations, pool.cost, units)) / units


def reached_by(evaluations: Sequence[Evaluation], cost: CostModel, units: int) -> NDArray[np.int64]:
    """int64 [N + 1]: by number correct, the least total cost of the evaluations with at least so many."""
    least = np.full(units + 1, UNREACHED, np.int64)
    for e in evaluations:
        total = round(Fraction(e.average_cost) * units / cost.unit)
        np.minimum(least[: int(e.correct) + 1], total, out=least[: int(e.correct) + 1])
    return least


def router_costs(pool: Pool, alone: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [N]: the least cost at which each unit can be answered right; UNREACHED where no committee does.

    alone : int64 [M] cost of each model by itself
    """
    order = np.argsort(alone, kind="stable")
    prices = np.r_[alone[order], UNREACHED]
    if not pool.averaged:
        predictions = [pool.task.read(pool.stored(int(m))) for m in order]
        right = np.stack([pool.task.statistics(line, pool.labels) > 0 for line in predictions], axis=1)
        return prices[_first(right)]
    out = np.empty(pool.units, np.int64)
    summands = [pool.summands(int(m)) for m in order]
    labels = pool.labels.astype(np.int64)
    step = max(1, BLOCK_BYTES // (4 * len(order) * summands[0].classes))
    for start in range(0, pool.units, step):
        block = slice(start, min(start + step, pool.units))
        label = labels[block]
        rows = np.stack([source.block(block.start, block.stop) for source in summands], axis=1)
        of_label = np.take_along_axis(rows, label[:, None, None], axis=2)
        if pool.combine.ordered:  # the newest member answers alone: ties go to the lowest class
            right = rows.argmax(axis=2) == label[:, None]
            out[block] = prices[_first(right)]
        else:
            near = np.float32(1e-5) * np.abs(rows).max(axis=(1, 2), keepdims=True)  # float32 sums may tie
            out[block] = prices[_first(rows <= of_label + near)].max(axis=1)
    return out


def _first(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index of the first True along axis 1, its length where there is none."""
    return np.where(mask.any(axis=1), mask.argmax(axis=1), mask.shape[1])
