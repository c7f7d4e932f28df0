"""Limits on committees beside the worst case: averages of costs, and shares of the units that cost more than an amount.

Each limits a total over the units: of a cost, or of the units above an amount. Where every unit has the same stage
costs, both are limits on how many units may RUN each stage. A unit costs more than X iff it runs the first stage whose
cumulative cost passes X, so "the 99th percentile is at most X" says that at most floor(N / 100) units run that stage;
an average is linear in the same counts. Where costs vary per unit, each unit passes X at a stage of its own, and the
totals are summed over units (kernels/sweeps/metered.py). Lowering any threshold lowers every total, so a sweep that
raises thresholds may stop at the first violation; with the same costs for all units the gain lemma of the exact mode
stays valid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import CostModel, cost_names, exactly
from wisecommittee.errors import CostError, option
from wisecommittee.kernels.sweeps.metered import Metered
from wisecommittee.searches.percentile import units_above
from wisecommittee.searches.query import Query
from wisecommittee.searches.stages.pool import Pool


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a total over all units may be, in integers of a cost model.

    costs : the cost that is limited
    above : None: `most` is the largest total cost. Else `most` is how many units may cost more than this amount
    """

    costs: CostModel
    above: int | None
    most: int

    @property
    def varies(self) -> bool:
        return self.costs.per_unit is not None

    def added(self, stages: Sequence[int], before: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """int64 [K, N]: what each of these stages adds to the total for each unit, of a cost that varies per unit.

        before : int64 [N], the cost of a unit before these stages; with it, each stage comes right after them
        """
        assert self.costs.per_unit is not None
        fees = self.costs.per_unit[list(stages)]
        if self.above is None:
            return fees
        if before is not None:
            return ((before + fees > self.above) & (before <= self.above)).astype(np.int64)
        return np.diff(np.cumsum(fees, axis=0) > self.above, axis=0, prepend=False).astype(np.int64)

    def words(self, units: int) -> str:
        """The limit of a committee on `units` units, for messages."""
        name, true = self.costs.name, self.costs.true
        if self.above is None:
            return f"{name} is at most {true(self.most, units):.6g} on average"
        within = f"all but {self.most:,} of {units:,} units (the percentile)"
        return f"{within} cost at most {true(self.above):.6g} {name}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a query over `units` units."""

    units: int
    every: tuple[Limit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.every)

    def __str__(self) -> str:
        """The limits in words, for messages."""
        return " and ".join(limit.words(self.units) for limit in self.every)

    @property
    def varying(self) -> tuple[Limit, ...]:
        """Those on costs that vary per unit."""
        return tuple(limit for limit in self.every if limit.varies)

    @property
    def fixed(self) -> tuple[Limit, ...]:
        """Those on costs that are the same for every unit."""
        return tuple(limit for limit in self.every if not limit.varies)

    @property
    def ceilings(self) -> tuple[int, ...]:
        """The largest totals of the costs that are the same for every unit."""
        return tuple(limit.most for limit in self._totals)

    @property
    def _totals(self) -> tuple[Limit, ...]:
        return tuple(limit for limit in self.fixed if limit.above is None)

    def caps(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [m, n]: the most units that may run each stage of these sequences [m, n], by the limits on shares of
        units whose costs are the same."""
        caps = np.full(sequences.shape, self.units, np.int64)
        for limit in self.fixed:
            if limit.above is not None:
                over = limit.costs.cumulative(sequences) > limit.above
                first = over & ~np.pad(over, ((0, 0), (1, 0)))[:, :-1]
                caps[first] = np.minimum(caps[first], limit.most)
        return caps

    def marginal(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [m, Q, n]: what each stage adds to each of the Q totals that `ceilings` limits."""
        if not self._totals:
            return np.zeros((len(sequences), 0, sequences.shape[1]), np.int64)
        charges = [limit.costs for limit in self._totals]
        return np.stack([np.diff(c.cumulative(sequences), axis=1, prepend=0) for c in charges], axis=1)


def metered(limits: Sequence[Limit], head: Sequence[int], lasts: NDArray[np.int64], units: int) -> Metered:
    """Limits on costs that vary per unit as a kernel tests them, for the cascades head + (last,)."""
    stages = np.zeros((len(limits), len(head), units), np.int64)
    last = np.zeros((len(limits), len(lasts), units), np.int64)
    for q, limit in enumerate(limits):
        assert limit.costs.per_unit is not None
        stages[q] = limit.added(head)
        last[q] = limit.added(lasts.tolist(), before=limit.costs.per_unit[list(head)].sum(axis=0))
    return Metered(stages, last, np.array([limit.most for limit in limits], np.int64))


def make_limits(pool: Pool, query: Query) -> Limits:
    """The limits of a query in integers of the pool's costs.

    Raises
    ------
    CostError
        A limit is on a cost that not every model has.
    """
    units, every = pool.units, []
    if query.max_percentile_cost is not None:
        percent, limit = query.max_percentile_cost
        every.append(Limit(pool.cost, pool.cost.ceiling(limit), units_above(percent, units)))
    averages = list((query.max_average or {}).items())
    for statement in query.limits():
        name = statement.about(pool.cost.name)
        if statement.figure == "average":
            averages.append((name, statement.number))
        else:
            costs = _named(pool, name)
            allowed = math.floor(exactly(statement.number) * units)
            every.append(Limit(costs, costs.ceiling(float(statement.limit or 0)), allowed))
    for name, limit in averages:
        costs = _named(pool, name)
        every.append(Limit(costs, None, costs.ceiling(limit, units)))
    return Limits(units, tuple(every))


def _named(pool: Pool, name: str) -> CostModel:
    """The cost of this name, in the pool's tiers."""
    for costs in (pool.cost, *pool.further):
        if costs.name == name:
            return costs
    lacking = next(card.model for card in pool.cards if name not in cost_names([card]))
    known = ", ".join(costs.name for costs in (pool.cost, *pool.further))
    raise CostError(
        f"a limit on {name}: {lacking} has no cost {name!r}; all of these models have: {known}. Name one of those, add "
        f"the cost with `wisecommittee import --costs models.csv`, or choose models with {option('models')}"
    )
