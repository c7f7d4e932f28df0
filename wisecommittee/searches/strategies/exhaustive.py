"""Every combination, and of each every vector of percentile thresholds (grid/sweep.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.exact.gap import gap, reached_by
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.strategies.prepare import Prepared, prepare
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy

Sequences = Sequence[tuple[int, ...]]


def run(problem: Problem) -> Findings:
    candidates = problem.candidates()
    with problem.execution.mapper(problem.deadline) as mapper:
        prepared = prepare(problem, candidates, mapper)
        sweep = grid_of(problem, prepared)
        unfinished = sweep.run(mapper)
    tried = finished(prepared.candidates, unfinished)
    searched = counts(tried, vectors(tried, sweep.levels), len(unfinished) + prepared.untried)
    searched["exact"] = searched["complete"] and not problem.family.thresholded
    return findings(problem, prepared, sweep, searched, unfinished)


def grid_of(problem: Problem, prepared: Prepared) -> GridSearch:
    query, threads = problem.query, problem.execution.thread_count
    levels = query.levels if problem.family.thresholded else 1
    return GridSearch(
        problem.pool, prepared.tables, prepared.candidates, levels, problem.limits, query.axis, threads=threads
    )


def findings(
    problem: Problem, prepared: Prepared, sweep: GridSearch, searched: dict[str, Any], unfinished: Sequences
) -> Findings:
    """The findings of a sweep, with the gap to its unfinished combinations if all others have been tried."""

    def to_unfinished(evaluations: Sequence[Evaluation]) -> float | None:
        if prepared.untried or not unfinished or not sweep.lookup.correct.bits or problem.query.axis != "average":
            return None
        pool = problem.pool
        return gap(sweep, reached_by(evaluations, pool.cost, pool.units), unfinished)

    return Findings(sweep.points(), prepared.tables, searched, to_unfinished)


def finished(candidates: Sequence[Candidates], unfinished: Sequences) -> dict[int, int]:
    """{stages: how many combinations of so many stages have been tried}."""
    lacking = Counter(map(len, unfinished))
    return {c.size: len(c.sequences) - lacking[c.size] for c in candidates}


def vectors(tried: dict[int, int], levels: int) -> int:
    """How many vectors of levels the tried combinations have."""
    return sum(number * levels ** (size - 1) for size, number in tried.items())


def counts(
    tried: dict[int, int], threshold_vectors: int, untried: int, *, method: str = "exhaustive"
) -> dict[str, Any]:
    """`searched` of a frontier. certified : nothing better exists, over all levels or over all real thresholds."""
    out: dict[str, Any] = {
        "combinations": sum(tried.values()),
        "threshold_vectors": threshold_vectors,
        "method": method,
        "complete": not untried,
        "certified": not untried,
    }
    return out | ({"unfinished_combinations": untried} if untried else {})


EXHAUSTIVE = Strategy("exhaustive", lambda problem: None, run)
