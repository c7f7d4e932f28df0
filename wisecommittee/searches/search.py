"""The public search: a query becomes a problem, a strategy solves it, and its findings become a frontier."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

from wisecommittee.errors import InfeasibleError, StoppedError
from wisecommittee.kernels import jit
from wisecommittee.options import from_options, takes_options
from wisecommittee.searches.evaluation import figure_on
from wisecommittee.searches.findings import evaluated, reporter_of
from wisecommittee.searches.frontier import Frontier, skyline
from wisecommittee.searches.methods import strategy_for
from wisecommittee.searches.query import Query
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy, pose
from wisecommittee.searches.workers.estimate import left_out
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import interruptible, interrupts
from wisecommittee.store import LogitStore, StoreLike, open_store

NOTICEABLE = 5.0  # CPU seconds of work that is announced


@interruptible()
@takes_options(Query, Execution)
def search(
    store: StoreLike, query: Query | None = None, execution: Execution | None = None, **options: Any
) -> Frontier:
    """Search all committees of the models of a split and return their exact frontier.

    Parameters
    ----------
    store
        The store that holds the outputs of the models.
    query, execution
        The options of the search and how to run it, as values; by default all defaults.
    {options}

    Returns
    -------
    Frontier
        Committees by rising cost and rising quality, and every model by itself. Its `searched` counts what was tried:
        `left_out` is the number of combinations that replicas 'all' would try beside these; `ties` the largest share of
        units with one confidence at a stage, which no threshold parts. Stopped by `time_limit`, or by Ctrl-C once the
        outputs are decoded (before, Ctrl-C ends the search), `complete` is False and `gap` (where it is proved) bounds
        by how much quality a combination that was not finished can exceed the frontier at equal cost; beam and greedy
        always give a coarse gap, to a router that knows every unit's cheapest way to be right.

    Raises
    ------
    UsageError
        The query cannot be asked of these models.
    InfeasibleError
        No committee keeps the limits.
    StoppedError
        Ctrl-C came before any committee was found that keeps the limits.
    """
    parts = from_options({"query": Query, "execution": Execution}, options)
    query = replace(query or Query(), **parts["query"])
    execution = replace(execution or Execution(), **parts["execution"])
    return solution_of(open_store(store), query, execution).frontier


class Solution(NamedTuple):
    """A searched problem. tables : the stage tables of all combinations that the strategy can try, or None where it
    tries only a part of them."""

    problem: Problem
    strategy: Strategy
    frontier: Frontier
    tables: StageTables | None


def solution_of(store: LogitStore, query: Query, execution: Execution) -> Solution:
    """Search a store; `search` returns the frontier of it."""
    problem = pose(store, query, execution)
    return solve(problem, strategy_for(problem))


def solve(problem: Problem, strategy: Strategy, *, whole: bool = True) -> Solution:
    """Search a problem.

    whole : whether the frontier also has every single model and the properties of the search

    Raises
    ------
    InfeasibleError, StoppedError
        As of `search`.
    """
    started = time.perf_counter()
    _announce(strategy, problem)
    with jit.announced(problem.execution.progress):
        findings = strategy.run(problem)
    interrupts().searched()
    _require_points(findings, problem)
    frontier = _reported(findings, problem, started) if whole else _committees(findings, problem)
    tables = findings.tables if strategy.proves and findings.searched["complete"] else None
    return Solution(problem, strategy, frontier, tables)


def _announce(strategy: Strategy, problem: Problem) -> None:
    """Say which strategy runs, if it proves nothing or takes long."""
    notify, work = problem.execution.notify, problem.estimate
    if notify and not strategy.proves:
        notify(f"{strategy.name}, which proves nothing; an exhaustive search would be {work}")
    elif notify and work.cpu_seconds > NOTICEABLE:
        notify(f"{strategy.name}: {work}{' for the grid it starts from' if strategy.name == 'exact' else ''}")


def _require_points(findings: Findings, problem: Problem) -> None:
    if not (findings.points or findings.committees) and findings.searched["complete"]:
        raise InfeasibleError(f"no committee keeps the limits: {problem.limits}; raise one of them")
    if not (findings.points or findings.committees):
        kind = StoppedError if interrupts().number else InfeasibleError
        raise kind(f"no committee that keeps the limits ({problem.limits}) was found in time; allow more of it")


def _committees(findings: Findings, problem: Problem) -> Frontier:
    """The frontier of the committees that the findings stand for, without single models."""
    pool, query = problem.pool, problem.query
    frontier = skyline(evaluated(findings, problem), figure_on(query.axis).of())
    return Frontier(frontier, (), query, findings.searched, pool.store.files.uri, pool.task.name)


def _reported(findings: Findings, problem: Problem, started: float) -> Frontier:
    """The frontier of the committees that the findings stand for, evaluated plainly."""
    query, pool, cards = problem.query, problem.pool, problem.cards
    searched = dict(findings.searched)
    if not searched["complete"]:
        searched["stopped_by"] = "interrupt" if interrupts().number else "time limit"
    reporter = reporter_of(findings, problem)
    evaluations = evaluated(findings, problem, reporter)
    if (ties := reporter.ties()) is not None:
        searched["ties"] = ties
    models = [m for m, card in enumerate(cards) if len(card.members) == 1] or range(len(cards))
    singles = sorted(reporter.report([((m,), ()) for m in models]), key=lambda e: (e.average_cost, -e.quality))
    if (gap := findings.gap(evaluations)) is not None:
        searched["gap"] = gap
    replicas_matter = pool.task.width == 1 and not pool.parallel
    searched["left_out"] = left_out(cards, problem.sizes, problem.family, query.replicas) if replicas_matter else 0
    searched["seconds"] = round(time.perf_counter() - started, 4)
    best = skyline(evaluations, figure_on(query.axis).of())
    frontier = Frontier(best, tuple(singles), query, searched, pool.store.files.uri, pool.task.name)
    return frontier.recorded(pool.store, cards)
