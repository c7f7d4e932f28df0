"""The cascades that a router chooses between: for each model to begin with, those of the best trade-offs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.exits import exits_of, statistics_of
from wisecommittee.searches.frontier import skyline
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.hull import hull
from wisecommittee.searches.policies.router.regression import Matrix
from wisecommittee.searches.reporter import Reporter
from wisecommittee.searches.stages.exit_table import exit_table
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.strategies.exhaustive import counts, finished, grid_of, vectors
from wisecommittee.searches.strategies.large_pools import BEAM
from wisecommittee.searches.strategies.prepare import prepare
from wisecommittee.searches.strategies.problem import Problem

PRICES = 23  # beside 0, at which routers are looked for
PRICES_OF_EACH = 8  # at which the best cascade that begins with each model can be chosen


@dataclass(frozen=True, slots=True)
class Cascades:
    """Cascades of a problem, evaluated on all units: for each first stage those on its frontier.

    tables : stage tables of all their prefixes; searched : the counts of the search.
    """

    evaluations: tuple[Evaluation, ...]
    tables: StageTables
    searched: dict[str, Any]


def cascades_of(problem: Problem) -> Cascades:
    """Search the cascades that begin with each tier of models; where that is not feasible, those of the beam."""
    if problem.pool.confidence_name == NO_CONFIDENCE:
        problem = replace(problem, query=replace(problem.query, max_models=1))
    execution = problem.execution
    if not problem.estimate.fits(execution.thread_count):
        found = BEAM.run(problem)
        assert found.tables is not None
        singles: list[Point] = [((m,), ()) for m in range(len(problem.cards))]
        return _reported(problem, found.tables, [*singles, *found.points], found.searched)
    candidates, points, unfinished = problem.candidates(), list[Point](), []
    with execution.mapper(problem.deadline) as mapper:
        prepared = prepare(problem, candidates, mapper)
        for first in range(max(int(c.sequences[:, 0].max()) for c in prepared.candidates) + 1):
            begun = [_beginning(c, first) for c in prepared.candidates]
            if begun := [c for c in begun if len(c.sequences)]:
                sweep = grid_of(problem, replace(prepared, candidates=begun))
                unfinished += sweep.run(mapper)
                points += sweep.points()
    tried = finished(prepared.candidates, unfinished)
    searched = counts(tried, vectors(tried, problem.query.levels), len(unfinished) + prepared.untried, method="router")
    return _reported(problem, prepared.tables, points, searched | {"exact": False, "certified": False})


def _beginning(candidates: Candidates, first: int) -> Candidates:
    """The candidates whose first stage is this tier."""
    rows = candidates.sequences[:, 0] == first
    return Candidates(candidates.size, candidates.sequences[rows], candidates.ranks[rows])


def _reported(problem: Problem, tables: StageTables, points: list[Point], searched: dict[str, Any]) -> Cascades:
    evaluations = Reporter(problem.pool, tables, problem.query.family).report(points)
    return Cascades(tuple(evaluations), tables, searched)


def prices_of(evaluations: tuple[Evaluation, ...]) -> list[float]:
    """0, and prices of a unit of cost around those at which the best of these cascades changes."""
    corners = hull(skyline(evaluations))
    first, last = corners[0], corners[-1]
    if len(corners) > 1:
        low, high = (
            (b.quality - a.quality) / (b.average_cost - a.average_cost) for a, b in (corners[-2:], corners[:2])
        )
    else:
        low = high = last.quality / first.average_cost if first.average_cost > 0 else 0.0
    return [0.0, *np.geomspace(low / 8, 2 * high, PRICES).tolist()] if low > 0 else [0.0]


def arms_of(evaluations: tuple[Evaluation, ...], prices: list[float]) -> list[Evaluation]:
    """The best cascade at each price, and at some prices the best that begins with each stage; by rising cost."""
    quality = np.array([e.quality for e in evaluations])
    cost = np.array([e.average_cost for e in evaluations])
    firsts = [e.committee.stages[0] for e in evaluations]
    some = set(np.linspace(0, len(prices) - 1, PRICES_OF_EACH).astype(int).tolist())
    chosen: set[int] = set()
    for k, price in enumerate(prices):
        order = np.lexsort((cost, -(quality - price * cost)))
        chosen.add(int(order[0]))
        if k in some:
            best = {firsts[i]: int(i) for i in order[::-1]}  # the last entry of a key is that of the best
            chosen.update(best.values())
    return sorted((evaluations[i] for i in chosen), key=lambda e: (e.average_cost, -e.quality))


def outcomes_by_unit(problem: Problem, cascades: Cascades, arms: list[Evaluation]) -> tuple[Matrix, Matrix]:
    """Quality float64 [n, A] in [0, 1] and cost float64 [n, A], in units of the pool's cost, of each arm."""
    pool, units = problem.pool, np.arange(problem.pool.units)
    quality, cost = np.empty((2, len(units), len(arms)))
    for a, arm in enumerate(arms):
        table = exit_table(replace(cascades.tables, pool=pool), arm.committee)
        (left,) = exits_of(table, [arm.committee])
        paid = table.cost[left.row] if table.cost.ndim == 1 else table.cost[left.row, units]
        quality[:, a] = statistics_of(table, pool.task, left)[:, 0] / pool.task.scale
        cost[:, a] = paid * float(pool.cost.unit)
    return quality, cost
