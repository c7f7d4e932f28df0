"""Limits on committees beside the worst case: a percentile of the cost per unit, and averages of further costs.

If every unit has the same stage costs, both are limits on how many units may RUN each stage. A unit costs more than X
iff it runs the first stage whose cumulative cost passes X, so "the 99th percentile is at most X" says that at most
floor(N / 100) units run that stage; an average is linear in the same counts. Lowering any threshold lowers every count,
so a sweep that raises thresholds may stop at the first violation, and the gain lemma of the exact mode stays valid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel, cost_model
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.query import Query
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a query, in integers of the cost models, over `units` units.

    dear : integer cost of one unit that `allowed` units may exceed, or None for no such limit
    others : further costs (each the same for every unit); ceilings : the most each may total over all units
    """

    units: int
    cost: CostModel
    dear: int | None = None
    allowed: int = 0
    others: tuple[CostModel, ...] = ()
    ceilings: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return self.dear is not None or bool(self.others)

    def __str__(self) -> str:
        """The limits in words, for messages."""
        limits = []
        if self.dear is not None:
            limits.append(
                f"all but {self.allowed:,} of {self.units:,} units (the percentile) cost at most "
                f"{self.cost.true(self.dear):.6g} {self.cost.name}"
            )
        for other, ceiling in zip(self.others, self.ceilings, strict=True):
            limits.append(f"{other.name} is at most {other.true(ceiling, self.units):.6g} on average")
        return " and ".join(limits)

    def caps(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [m, n]: the most units that may run each stage of these sequences [m, n]."""
        caps = np.full(sequences.shape, self.units, np.int64)
        if self.dear is not None:
            over = self.cost.cumulative(sequences) > self.dear
            first = over & ~np.pad(over, ((0, 0), (1, 0)))[:, :-1]
            caps[first] = self.allowed
        return caps

    def marginal(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [m, Q, n]: what each stage adds to each of the Q further costs."""
        if not self.others:
            return np.zeros((len(sequences), 0, sequences.shape[1]), np.int64)
        return np.stack([np.diff(c.cumulative(sequences), axis=1, prepend=0) for c in self.others], axis=1)


def make_limits(pool: Pool, query: Query) -> Limits:
    """The limits of a query in integers of the pool's costs."""
    units = pool.units
    dear, allowed = None, 0
    if query.max_percentile_cost is not None:
        percent, limit = query.max_percentile_cost
        if pool.cost.per_unit is not None:
            raise UsageError(
                f"a limit on a percentile needs a cost that is the same for every unit; {pool.cost.name} varies"
            )
        dear, allowed = pool.cost.ceiling(limit), units - math.ceil(_share(percent) * units)
    others, ceilings = [], []
    for name, limit in (query.max_average or {}).items():
        costs = _constant_costs(pool.store, pool.split, pool.cards, name, units)
        others.append(costs if pool.tiers is None else costs.of(pool.tiers))
        ceilings.append(others[-1].ceiling(limit, units))
    return Limits(units, pool.cost, dear, allowed, tuple(others), tuple(ceilings))


def _share(percent: float) -> Fraction:
    return Fraction(Decimal(repr(float(percent)))) / 100


def _constant_costs(store: LogitStore, split: str, cards: Sequence[StoredCard], name: str, units: int) -> CostModel:
    if varying := [card.model for card in cards if name in card.contents.unit_costs]:
        raise UsageError(f"a limit on the average {name} needs the same cost for every unit; {varying[0]}'s varies")
    return cost_model(cards, name, units)


def percentile_cost(ratios: Sequence[float], n: int, costs: Sequence[float], percent: float) -> float:
    """The smallest cost that at least `percent` % of the n units do not exceed (an order statistic).

    ratios : share of units that exit at each stage; costs : cumulative cost of each stage, ascending.
    """
    needed, reached = math.ceil(_share(percent) * n), 0
    for ratio, cost in zip(ratios, costs, strict=True):
        reached += round(ratio * n)
        if reached >= needed:
            return cost
    return costs[-1]


class LimitFigures:
    """The figures of an evaluation that the limits of a query ask for, from its exit ratios and stage costs."""

    def __init__(self, store: LogitStore, query: Query) -> None:
        self.store = store
        self.percentile = query.max_percentile_cost
        self.averages: Mapping[str, float] = query.max_average or {}
        self._cards: dict[tuple[str, str], StoredCard] = {}
        self._known: dict[tuple[str, str, tuple[tuple[str, ...], ...]], list[float]] = {}

    def __call__(self, e: Evaluation) -> dict[str, Any]:
        """{"percentile_cost": {"percent", "cost"}} and {"averages": {name: cost}}; empty where nothing was asked."""
        out: dict[str, Any] = {}
        if self.percentile is not None:
            costs = self._stages(e.committee, e.committee.cost, e)
            value = percentile_cost(e.exit_ratios, e.n, costs, self.percentile[0])
            out["percentile_cost"] = {"percent": self.percentile[0], "cost": value}
        if self.averages:
            counts = [round(r * e.n) for r in e.exit_ratios]
            out["averages"] = {}
            for name in self.averages:
                exact = zip(counts, map(Fraction, self._stages(e.committee, name, e)), strict=True)
                out["averages"][name] = float(sum(count * cost for count, cost in exact) / e.n)
        return out

    def _stages(self, committee: Committee, name: str, e: Evaluation) -> list[float]:
        """Cumulative cost of every stage, in its own unit; the same for all thresholds."""
        if not committee.nested:
            raise CommitteeError(
                f"{committee.label()}: its policy {committee.policy.kind!r} skips stages, so the stage at which a unit "
                f"exits does not say its cost; figures of limits need a cascade that runs its stages in order"
            )
        key = (name, e.split, committee.stages)
        if key not in self._known:
            for model in committee.models:
                if (model, e.split) not in self._cards:
                    self._cards[model, e.split] = self.store.card(model, e.split)
            cards = [self._cards[model, e.split] for model in committee.models]
            charges = _constant_costs(self.store, e.split, cards, name, e.n)
            index_of = {card.model: i for i, card in enumerate(cards)}
            totals = charges.stages([[index_of[m] for m in stage] for stage in committee.stages])
            self._known[key] = [charges.true(int(total)) for total in totals]
        return self._known[key]
