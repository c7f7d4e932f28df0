"""The optimum over all real thresholds, proved (exact/proof.py); the grid is its warm start."""

from __future__ import annotations

from dataclasses import replace

from wisecommittee.searches.exact.proof import ExactSearch, require_provable
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.strategies import exhaustive
from wisecommittee.searches.strategies.exhaustive import counts, findings, finished, grid_of, vectors
from wisecommittee.searches.strategies.prepare import prepare
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy


def run(problem: Problem) -> Findings:
    if not problem.family.thresholded:  # without thresholds, all combinations are all committees
        return exhaustive.run(problem)
    candidates = problem.candidates()
    require_provable(candidates, problem.pool.cost, problem.limits, problem.query.axis)
    with problem.execution.mapper(problem.deadline) as mapper:
        prepared = prepare(problem, candidates, mapper, exact=True)
        sweep = grid_of(problem, prepared)
        tried = finished(prepared.candidates, sweep.run(mapper))
        proof = None if mapper.stopped() else ExactSearch(sweep, prepared.tables)
        unproved = combinations(prepared.candidates) if proof is None else proof.run(mapper)
    untried = len(unproved) + prepared.untried
    searched = counts(tried, vectors(tried, sweep.levels), untried, method="exact")
    searched["exact"] = searched["complete"]
    of_grid = findings(problem, prepared, sweep, searched, unproved)
    return of_grid if proof is None else replace(of_grid, points=proof.points())


def combinations(candidates: list[Candidates]) -> list[tuple[int, ...]]:
    """The combinations of two members and more, whose thresholds are to be proved."""
    return [tuple(row) for c in candidates if c.size > 1 for row in c.sequences.tolist()]


EXACT = Strategy("exact", lambda problem: None, run)
