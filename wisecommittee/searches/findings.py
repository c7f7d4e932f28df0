"""From the findings of a strategy to evaluations."""

from __future__ import annotations

from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.reporter import Reporter
from wisecommittee.searches.stages.stage_tables import tables_for
from wisecommittee.searches.strategies.problem import Findings, Problem


def reporter_of(findings: Findings, problem: Problem) -> Reporter:
    """The reporter of a problem; single models need no stage tables of the findings."""
    query, tables = problem.query, findings.tables
    if tables is None:
        tables = tables_for(problem.pool, [(m,) for m in range(len(problem.cards))])
    return Reporter(problem.pool, tables, query.family, shared=query.shared_threshold)


def evaluated(findings: Findings, problem: Problem, reporter: Reporter | None = None) -> list[Evaluation]:
    """The committees that the findings stand for, within the worst case, evaluated plainly."""
    if findings.committees:
        worst = problem.query.max_worst_cost
        every = evaluate_in(problem.pool, findings.committees, problem.execution.threads)
        return [e for e in every if worst is None or e.worst_case_cost <= worst]
    return (reporter or reporter_of(findings, problem)).report(findings.points)
