"""Cascades of pools too large to exhaust (heuristic/): grown in a beam, or greedily. They prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from wisecommittee.errors import UsageError, option
from wisecommittee.searches.exact.gap import router_gap
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.heuristic.neighbours import Neighbours
from wisecommittee.searches.heuristic.space import Outcome, SearchSpace
from wisecommittee.searches.strategies.prepare import tables_of
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.threads import Threads, interrupts


def refuse(problem: Problem, name: str) -> None:
    query, method = problem.query, option("method", name)
    why = method if query.method == name else f"this pool is too large to exhaust, and {method}"
    fewer = f"choose fewer models with {option('models')}"
    if problem.pool.parallel:
        asked = option("parallel", problem.pool.parallel[0])
        raise UsageError(f"{why} adds the costs of all members up; leave {asked} out, or {fewer}")
    if not (problem.family.thresholded and problem.family.chains):
        raise UsageError(
            f"{why} searches cascades, not family {query.family!r}; {fewer}, or fewer {option('levels')} or "
            f"{option('max_models')}"
        )
    if query.axis != "average":
        axis = option("axis", query.axis)
        raise UsageError(f"{why} searches over average cost; leave {axis} out, or choose fewer models")
    if problem.limits:
        raise UsageError(
            f"{why} limits the worst case only; {fewer}, fewer {option('levels')} or {option('max_models')}"
        )
    if problem.execution.scheduler is not None:
        raise UsageError(f"{why} runs on one machine; leave {option('scheduler')} out")


def run(problem: Problem, name: str, grow: Callable[[SearchSpace, int], Outcome]) -> Findings:
    pool, execution = problem.pool, problem.execution
    mapper = Threads(execution.thread_count, execution.progress, problem.deadline)
    with mapper.until_deadline() as stop:
        outcome = grow(replace(_space(problem), stop=stop), problem.query.levels)
    complete = not mapper.stopped()
    interrupts().searched()
    sizes = sorted({len(sequence) for sequence, _ in outcome.points})
    rows = [np.array([s for s, _ in outcome.points if len(s) == size], np.int64) for size in sizes]
    candidates = [Candidates(n, each, np.arange(len(each))) for n, each in zip(sizes, rows, strict=True)]
    searched = {
        "combinations": outcome.combinations,
        "threshold_vectors": outcome.vectors,
        "method": name,
        "complete": complete,
        "certified": False,
        "exact": False,
    }
    tables = tables_of(pool, candidates, True, execution.thread_count)
    return Findings(outcome.points, tables, searched, partial(router_gap, pool))


def _space(problem: Problem) -> SearchSpace:
    pool, execution, limit = problem.pool, problem.execution, problem.query.max_worst_cost
    chains = problem.family.chains(problem.cards, problem.query.replicas) if problem.family.chains else []
    return SearchSpace(
        pool,
        Neighbours.over(chains, len(problem.cards)),
        problem.max_models,
        None if limit is None else pool.cost.ceiling(limit),
        execution.thread_count,
        execution.progress,
    )


def _beam(space: SearchSpace, levels: int) -> Outcome:
    from wisecommittee.searches.heuristic.beam import beam_points

    return beam_points(space, levels)


def _greedy(space: SearchSpace, levels: int) -> Outcome:
    from wisecommittee.searches.heuristic.greedy import greedy_points

    return greedy_points(space)


BEAM = Strategy("beam", partial(refuse, name="beam"), partial(run, name="beam", grow=_beam), proves=False)
GREEDY = Strategy("greedy", partial(refuse, name="greedy"), partial(run, name="greedy", grow=_greedy), proves=False)
