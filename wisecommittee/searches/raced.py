"""Every kind of policy that fits a problem: searched on all units, then raced without each fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wisecommittee.committees.policies.abstaining import has_certainty
from wisecommittee.errors import InfeasibleError, option
from wisecommittee.searches.meeting import matched_by, meeting
from wisecommittee.searches.methods import fitting
from wisecommittee.searches.resampling.cross_fit import CrossFit, Skipped
from wisecommittee.searches.resampling.race import Runner, race
from wisecommittee.searches.resampling.selecting import Asked, affordable, fold_searches, rule_before_folds, settled
from wisecommittee.searches.search import Solution, solve
from wisecommittee.searches.selection import FITTED_FOLDS, Selection
from wisecommittee.searches.strategies.problem import Problem, Strategy
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.threads import stop_is_due


@dataclass(frozen=True, slots=True)
class Raced:
    """The kinds of policies by name, the simplest first.

    Parameters
    ----------
    asked : {kind: Asked}
        Searched on all units.
    crossfits : {kind: CrossFit}
        Searched without every fold, too.
    refused : {kind: str}
        Why a kind is not searched, or not without every fold.
    dropped : {kind: str}
        By how much a kind was clearly worse on the first folds.
    """

    asked: dict[str, Asked] = field(default_factory=dict)
    crossfits: dict[str, CrossFit] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)


def race_of(problem: Problem, target: Target | None, selection: Selection) -> Raced:
    """Search with every kind of policy that fits, until a stop; parameters as of `select_among`."""
    fit, refused = fitting(problem)
    asked = _searched(problem, fit, target, refused)
    if selection.abstains:
        asked = _with_confidence(asked, refused)
    raced = Raced(asked, refused=refused)
    _without_folds(problem, selection, raced)
    return raced


def _with_confidence(asked: dict[str, Asked], refused: dict[str, str]) -> dict[str, Asked]:
    """The kinds whose committees say how sure they are of an answer, so that they can abstain; all kinds if none
    does."""
    kept = {}
    for kind, each in asked.items():
        name, parts = each.solution.problem.pool.confidence_name, [p for e in each.frontier for p in e.committee.parts]
        if all(has_certainty(part.policy, name) for part in parts):
            kept[kind] = each
    if not kept:
        return asked
    without = "it has no confidence in its answers, by which units are left unanswered"
    refused.update({kind: without for kind in asked if kind not in kept})
    return kept


def _searched(
    problem: Problem, fit: Mapping[str, tuple[Problem, Strategy]], target: Target | None, refused: dict[str, str]
) -> dict[str, Asked]:
    """The searches of all units, until a stop; refused gets the kinds without one."""
    out: dict[str, Asked] = {}
    for kind, (of_kind, strategy) in fit.items():
        if out and stop_is_due(problem.deadline):
            refused[kind] = "the search was stopped before this kind's turn"
            continue
        try:
            out[kind] = _asked(solve(of_kind, strategy), target)
        except InfeasibleError as error:
            refused[kind] = str(error)
    return out


def _without_folds(problem: Problem, selection: Selection, raced: Raced) -> None:
    """Search the kinds without each fold."""
    folds = selection.folds or FITTED_FOLDS
    runners: dict[str, Runner] = {}
    for kind, each in raced.asked.items():
        if not each.frontier.searched["complete"]:
            raced.refused[kind] = "the search was stopped before its end"
        elif selection.folds is None and not affordable(each, folds * selection.repeats):
            raced.refused[kind] = f"{folds} folds of this kind take long; {option('folds', folds)} searches them"
        else:
            filled = settled(each, replace(selection, folds=folds))
            runners[kind] = Runner(fold_searches(each, filled), rule_before_folds(each, filled))
    if runners:
        results, dropped = race(runners, problem.execution.progress, lambda: stop_is_due(problem.deadline))
        raced.crossfits.update({kind: found for kind, found in results.items() if isinstance(found, CrossFit)})
        raced.refused.update({kind: found.why for kind, found in results.items() if isinstance(found, Skipped)})
        raced.dropped.update(dropped)


def _asked(solution: Solution, target: Target | None) -> Asked:
    store, threads = solution.problem.pool.store, solution.problem.execution.threads
    matched = matched_by(solution.frontier, store, target, threads)
    return Asked(solution, target, meeting(solution.frontier, target, matched), matched)
