"""Every combination, with one threshold for all its stages (grid/shared_threshold.py)."""

from __future__ import annotations

from wisecommittee.errors import UsageError, option
from wisecommittee.searches.grid.shared_threshold import SharedSearch
from wisecommittee.searches.strategies.exhaustive import counts, findings, finished
from wisecommittee.searches.strategies.prepare import prepare
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy


def refuse(problem: Problem) -> None:
    asked = option("shared_threshold", True)
    if problem.query.axis != "average":
        raise UsageError(f"{asked} is searched over average cost; leave {option('axis', problem.query.axis)} out")
    if not problem.family.thresholded:
        raise UsageError(f"{asked} with {option('family', problem.family.name)}, which has no thresholds; leave it out")
    if problem.pool.task.width > 1:
        raise UsageError(f"{asked} is for answers that are right or wrong or graded, not for mIoU; leave it out")


def run(problem: Problem) -> Findings:
    candidates = problem.candidates()
    with problem.execution.mapper(problem.deadline) as mapper:
        prepared = prepare(problem, candidates, mapper)
        sweep = SharedSearch(problem.pool, prepared.tables, prepared.candidates, problem.limits)
        unfinished = sweep.run(mapper)
    tried = finished(prepared.candidates, unfinished)
    searched = counts(tried, sweep.thresholds(unfinished), len(unfinished) + prepared.untried)
    searched["exact"] = searched["complete"]  # every real threshold is a level
    return findings(problem, prepared, sweep, searched, unfinished)


SHARED_THRESHOLD = Strategy("shared_threshold", refuse, run)
