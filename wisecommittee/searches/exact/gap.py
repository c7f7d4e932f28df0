"""What a search that proves nothing, or was not finished, can be missing at most."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import CostModel
from wisecommittee.kernels.sweeps import grid
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.stages.blocks import BLOCK_BYTES
from wisecommittee.searches.stages.pool import Pool

MOST_WORK = 3e8  # combinations times units beyond which no gap is worked out: who stops a search waits for seconds only


def gap(sweep: GridSearch, found: NDArray[np.int64], unfinished: Sequence[tuple[int, ...]]) -> float | None:
    """Quality by which any of the unfinished combinations can exceed what was found at the same average cost, at most.

    found : int64 [N + 1] as `reached_by` gives it. A unit is right at best at the first stage
    whose prefix is right, and costs at least what that stage costs; all others cost at least the first stage. So the
    cheapest way to a correct of a combination costs at least N times its first stage plus the a least extras. Limits
    only forbid committees, so the bound holds under them. None where it is not worked out: graded quality, costs that
    vary per unit, or too many combinations left.
    """
    units = sweep.units
    if not sweep.correct.bits or sweep.cost.per_unit is not None or len(unfinished) * units > MOST_WORK:
        return None
    if not unfinished:
        return 0.0
    least = np.full(units + 1, grid.UNREACHED, np.int64)
    for sequence in unfinished:
        cumulative = sweep.cost.cumulative(np.array([sequence]))[0]
        waiting = np.ones(units, dtype=bool)
        total, reached = units * int(cumulative[0]), 0
        for k, cost in enumerate(cumulative):
            right = sweep.correct_of(sequence[: k + 1]).astype(bool)
            more = int((right & waiting).sum())
            waiting &= ~right
            extra = int(cost - cumulative[0])
            steps = total + extra * np.arange(1, more + 1)
            np.minimum(least[reached + 1 : reached + more + 1], steps, out=least[reached + 1 : reached + more + 1])
            total, reached = total + extra * more, reached + more
    return _largest(least, found) / units


def _largest(least: NDArray[np.int64], found: NDArray[np.int64]) -> int:
    """How many more correct `least` allows than `found` has at equal cost, at most; both int64 [N + 1] by correct."""
    possible = np.flatnonzero(least < grid.UNREACHED)
    if not len(possible):
        return 0
    here = np.maximum(np.searchsorted(found, least[possible], side="right") - 1, 0)
    return max(0, int((possible - here).max()))


def router_gap(pool: Pool, found: Sequence[Evaluation]) -> float | None:
    """Quality by which any committee of any length can exceed what was found at the same average cost, at most.

    No committee beats a router that knows for every unit the cheapest way to be right. For a prefix to prefer the label
    to a rival class, one of its members must; so being right costs a unit at least what, for its worst rival, the
    cheapest model costs that prefers the label, and any unit at least the cheapest model. None where it is not worked
    out: other statistics than right or wrong, costs that vary per unit.
    """
    if pool.cost.per_unit is not None or not pool.task.exact_match:
        return None
    units = pool.units
    alone = pool.cost.worst(np.arange(len(pool.cards))[:, None])
    cheapest = int(alone.min())
    dear = np.sort(router_costs(pool, alone))
    dear = dear[dear < grid.UNREACHED]
    least = np.full(units + 1, grid.UNREACHED, np.int64)
    least[: len(dear) + 1] = units * cheapest + np.r_[0, np.cumsum(dear - cheapest)]
    return _largest(least, reached_by(found, pool.cost, units)) / units


def reached_by(found: Sequence[Evaluation], cost: CostModel, units: int) -> NDArray[np.int64]:
    """int64 [N + 1]: the least total cost of these with at least so many correct."""
    have = np.full(units + 1, grid.UNREACHED, np.int64)
    for e in found:
        total = round(Fraction(e.average_cost) * units / cost.unit)
        np.minimum(have[: int(e.correct) + 1], total, out=have[: int(e.correct) + 1])
    return have


def router_costs(pool: Pool, alone: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [N]: what being right costs a unit at least; UNREACHED where no committee is. alone : int64 [M]."""
    order = np.argsort(alone, kind="stable")
    prices = np.r_[alone[order], grid.UNREACHED]
    if not pool.averaged:
        predictions = [pool.task.read(pool.stored(int(m))) for m in order]
        right = np.stack([pool.task.statistics(line, pool.labels) > 0 for line in predictions], axis=1)
        return prices[_first(right)]
    out = np.empty(pool.units, np.int64)
    summands = [pool.summands(int(m)) for m in order]
    labels = pool.labels.astype(np.int64)
    step = max(1, BLOCK_BYTES // (4 * len(order) * summands[0].classes))
    for start in range(0, pool.units, step):
        here = slice(start, min(start + step, pool.units))
        label = labels[here]
        rows = np.stack([source.block(here.start, here.stop) for source in summands], axis=1)
        own = np.take_along_axis(rows, label[:, None, None], axis=2)
        if pool.combine.ordered:  # the newest member answers alone: ties go to the lowest class
            right = rows.argmax(axis=2) == label[:, None]
            out[here] = prices[_first(right)]
        else:
            near = np.float32(1e-5) * np.abs(rows).max(axis=(1, 2), keepdims=True)  # float32 sums may tie
            out[here] = prices[_first(rows <= own + near)].max(axis=1)
    return out


def _first(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index of the first True along axis 1, its length where there is none."""
    return np.where(there.any(axis=1), there.argmax(axis=1), there.shape[1])
