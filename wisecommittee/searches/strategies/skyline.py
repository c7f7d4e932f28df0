"""mIoU: every combination, and of each every vector of percentile thresholds (grid/miou.py)."""

from __future__ import annotations

from wisecommittee.errors import UsageError, option
from wisecommittee.searches.grid.miou import SkylineSearch, chains
from wisecommittee.searches.strategies.exhaustive import counts, finished, vectors
from wisecommittee.searches.strategies.prepare import prepare
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy


def refuse(problem: Problem) -> None:
    query = problem.query
    if query.axis != "average":
        raise UsageError(
            f"mIoU is searched over average cost; leave {option('axis', query.axis)} out and limit it, "
            f"{option('max_worst_cost')}"
        )
    if varying := problem.limits.varying:
        name = varying[0].costs.name
        raise UsageError(
            f"mIoU with a limit on {name}, which varies per unit; limits need a cost that is the same for every unit. "
            f"Leave the limit out, or limit {option('max_worst_cost')}"
        )
    if query.exact or query.method not in ("auto", "exhaustive"):
        asked = option("exact", True) if query.exact else option("method", query.method)
        raise UsageError(
            f"mIoU is searched over all vectors of levels, without a proof over all thresholds; leave {asked} out"
        )


def run(problem: Problem) -> Findings:
    cards = problem.cards
    joined = any(len(card.members) > 1 for card in cards)
    candidates = problem.candidates((lambda size: chains(cards, size)) if joined else None)
    with problem.execution.mapper(problem.deadline) as mapper:
        prepared = prepare(problem, candidates, mapper)
        sweep = SkylineSearch(problem.pool, prepared.tables, prepared.candidates, problem.query.levels, problem.limits)
        unfinished = sweep.run(mapper)
    tried = finished(prepared.candidates, unfinished)
    searched = counts(tried, vectors(tried, sweep.levels), len(unfinished) + prepared.untried)
    searched["exact"] = searched["complete"] and not problem.family.thresholded
    return Findings(sweep.points(), prepared.tables, searched, lambda evaluations: None)


SKYLINE = Strategy("skyline", refuse, run)
