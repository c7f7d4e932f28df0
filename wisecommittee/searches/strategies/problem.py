"""The problem that a strategy solves (Problem), its result (Findings), and a strategy as a value (Strategy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import default_cost
from wisecommittee.committees.families import family_named
from wisecommittee.committees.families.family import Family
from wisecommittee.errors import UsageError
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.grid.candidates import Candidates, within_worst_case
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.limits import Limits, make_limits
from wisecommittee.searches.query import Query, flops_limit_error
from wisecommittee.searches.stages.pool import Pool, open_pool, select_cards
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.strategies.parallel import with_overhead, with_parallel
from wisecommittee.searches.workers.estimate import Estimate, estimate
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class Problem:
    """A query, and the pool of models that it searches.

    query : with every default filled in; its models are the names of the pool's. pool : with the tiers of the family.
    deadline : when the search must end, as of time.time(), or None. tables : stage tables of this pool with all
    prefixes of the query, if they are made already.
    """

    query: Query
    family: Family
    pool: Pool
    limits: Limits
    estimate: Estimate
    execution: Execution
    deadline: float | None
    tables: StageTables | None = None

    def of_units(self, rows: NDArray[np.int64]) -> Problem:
        """The same query of these units only. Levels, limits and costs are those of a store that holds no others.

        rows : int64 [n] positions among the units of the pool, ascending.
        """
        tables = self.tables
        if self.pool.cost.per_unit is not None and self.query.max_worst_cost is not None:
            tables = None  # the worst case of a combination is that of its dearest unit: more combinations may keep it
        tables = None if tables is None else tables.of_units(rows)
        pool = self.pool.of_units(rows) if tables is None else tables.pool
        return replace(self, pool=pool, limits=make_limits(pool, self.query), tables=tables)

    def with_policy(self, kind: str) -> Problem:
        """The same query with another kind of policy."""
        query = replace(self.query, policy=kind)
        if not any(charges.stage for charges in (self.pool.cost, *self.pool.further)):
            return replace(self, query=query)
        posed = replace(pose(self.pool.store, query, self.execution), deadline=self.deadline)
        return posed if self.pool.rows is None else posed.of_units(self.pool.rows)

    @property
    def cards(self) -> tuple[StoredCard, ...]:
        return self.pool.cards

    @property
    def max_models(self) -> int:
        return self.query.max_models or len(self.cards)

    @property
    def sizes(self) -> range:
        """Numbers of stages that a committee can have."""
        return range(1, min(self.max_models, len(self.cards)) + 1)

    def candidates(self, sequences: Callable[[int], NDArray[np.int64]] | None = None) -> list[Candidates]:
        """All combinations of the family within the worst case.

        sequences : the combinations of a number of stages, int64 [n, stages], instead of the family's.
        """
        of_size = sequences or (lambda size: self.family.sequences(self.cards, size, self.query.replicas))
        every = {size: of_size(size) for size in self.sizes}
        every = {size: sequences for size, sequences in every.items() if len(sequences)}
        return within_worst_case(
            self.pool,
            every,
            self.query.max_worst_cost,
            joint=not self.family.thresholded and self.pool.tiers is not None,
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a strategy.

    points : combinations and thresholds, by rising cost. tables : stage tables of their prefixes, or None if a
    threshold decides nowhere. searched : the counts of the search, as the frontier reports them. gap : (the points'
    evaluations) -> by how much quality an untried committee can exceed them at equal cost, or None where that is not
    known or nothing is untried. committees : what was found, in place of points, where policies other than thresholds
    decide.
    """

    points: Sequence[Point]
    tables: StageTables | None
    searched: dict[str, Any]
    gap: Callable[[Sequence[Evaluation]], float | None] = lambda evaluations: None
    committees: Sequence[Committee] = ()


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to search.

    refuse : raises UsageError for a problem that the strategy cannot solve. proves : whether every combination is
    tried, or the parameters of a policy are fitted to all units, so that a search of other units repeats the whole
    choice. work : of one search, in the combinations x levels x units of a grid that takes as long; None: those of the
    grid.
    """

    name: str
    refuse: Callable[[Problem], None]
    run: Callable[[Problem], Findings]
    proves: bool = True
    work: Callable[[Problem], float] | None = None


def pose(store: LogitStore, query: Query, execution: Execution) -> Problem:
    """The problem of a query of a store.

    Raises
    ------
    UsageError
        The query cannot be asked of these models.
    """
    if query.split == "test":
        raise UsageError("search chooses a committee and test only reports; choose on val (or another split)")
    store = store.with_labels_from(query.labels_from)
    deadline, family = execution.deadline(), family_named(query.family)
    cards = select_cards(store, query.split, query.models, with_calibration=query.calibrated)
    cards = family.members(cards, query.confidence)
    cost = query.cost or default_cost(cards)
    if query.max_worst_flops is not None and cost != "flops":
        raise flops_limit_error(cost)
    combine, confidence = query.combine or family.combine, query.confidence or family.confidence
    parallel = query.parallel or ()
    pool = open_pool(
        store, query.split, cards, combine=combine, confidence=confidence, cost=cost, parallel=parallel
    )  # fmt: skip
    family = with_parallel(family, pool, query)
    family, query = _with_overhead(family, pool, query, execution)
    pool = pool.with_fees([query.router_cost])
    if not family.thresholded and pool.combine.ordered:
        raise UsageError("an ensemble needs a rule that averages; `last` has only cascades")
    max_models = query.max_models or family.stages or len(cards)
    query = replace(
        query,
        labels_from=store.labels_from,
        models=tuple(card.model for card in cards),
        max_models=max_models,
        combine=pool.combine.name,
        confidence=pool.confidence_name,
        cost=cost,
        max_worst_cost=query.worst_limit,
        max_worst_flops=None,
    )
    work = _work(family, pool, query)
    pool = replace(pool.with_tiers(family.tiers(cards, query.replicas)), detail=CostDetail.of(query))
    return Problem(query, family, pool, make_limits(pool, query), work, execution, deadline)


def _work(family: Family, pool: Pool, query: Query) -> Estimate:
    """The work of an exhaustive search."""
    return estimate(
        pool.cards,
        pool.units,
        family,
        max_models=query.max_models or family.stages or len(pool.cards),
        levels=query.levels,
        replicas=query.replicas,
        ordered=pool.combine.ordered,
        shared=query.shared_threshold,
    )


def _with_overhead(family: Family, pool: Pool, query: Query, execution: Execution) -> tuple[Family, Query]:
    """The family with stages of several models, where an overhead of stages makes them cheaper, and the query; its
    method is a beam where trying all of them would take too long."""
    divided = with_overhead(family, pool, query)
    if divided is family:
        return family, query
    is_auto = query.method == "auto" and not query.exact and family.chains is not None
    if divided is None or (is_auto and not _work(divided, pool, query).fits(execution.thread_count)):
        return family, replace(query, method="beam")
    return divided, query
