"""The selection of a committee after a search, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import AbsentError, AbsentNameError, InfeasibleError, UsageError, option
from wisecommittee.option_checks import amount
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.abstention import abstaining_across, abstaining_on, expected_answers
from wisecommittee.searches.resampling.budget import Budgeted
from wisecommittee.searches.resampling.cross_fit import (
    Chooser,
    CrossFit,
    FoldSearches,
    Skipped,
    as_it_is,
    cross_fit,
)
from wisecommittee.searches.resampling.evidence import Chosen, Evidence, along, evidence
from wisecommittee.searches.resampling.outcomes import Outcomes, outcomes_of
from wisecommittee.searches.resampling.robust import robust_problem
from wisecommittee.searches.resampling.rules import (
    Always,
    Crossing,
    Mixed,
    Reaching,
    Within,
    best_of_all,
)
from wisecommittee.searches.search import Solution, solve
from wisecommittee.searches.selection import FITTED_FOLDS, FOLDS, Selection
from wisecommittee.searches.stages.exit_table import prefix_tables
from wisecommittee.searches.target import Target

# Combinations x levels x units x folds up to which folds run by default: counted, so that the result does not depend on
# the machine. It is about a minute of one core, mostly much less.
MOST_WORK = 3e11


@dataclass(frozen=True, slots=True)
class Selected:
    """A committee with its evidence, and its reference. selection : with every default filled in."""

    committee: Committee
    reference: Committee
    evidence: Evidence
    selection: Selection


@dataclass(frozen=True, slots=True)
class Asked:
    """A search and what is asked of it.

    best : the committee of the best figures on the units that choose; matched : the model or the ensemble that the
    target names, on these units.
    """

    solution: Solution
    target: Target | None
    best: Evaluation
    matched: Evaluation | None

    @property
    def frontier(self) -> Frontier:
        return self.solution.frontier


@dataclass(frozen=True, slots=True)
class Plan:
    """A committee that is chosen, before its evidence.

    selection : with every default filled in. crossfit : the searches without each fold, or why there are none.
    """

    asked: Asked
    selection: Selection
    crossfit: CrossFit | Skipped
    chosen: Chosen


def select(asked: Asked, selection: Selection, known: CrossFit | None = None) -> Selected:
    """Choose a committee and estimate what it does on new units.

    known : the folds' searches, if they have been made for another target of the same selection.

    Raises
    ------
    UsageError
        A robust choice of a search that does not try every combination.
    AbsentError
        There are too few units for the folds that are asked for.
    InfeasibleError
        No committee is expected to reach the target accuracy.
    """
    planned = plan(asked, selection, known)
    selected = with_evidence(planned)
    if asked.target is not None or isinstance(planned.crossfit, Skipped):
        return selected
    return replace(selected, evidence=replace(selected.evidence, along=along(planned.crossfit, asked.frontier)))


def plan(asked: Asked, selection: Selection, known: CrossFit | Skipped | None = None) -> Plan:
    """Choose a committee; parameters and errors as of `select`."""
    asked_folds, selection = selection.folds, settled(asked, selection)
    robust = selection.choose == "robust"
    crossfit = known or cross_fitted(asked, selection)
    if isinstance(crossfit, Skipped) and asked_folds and not crossfit.stopped:
        raise AbsentError(f"{crossfit.why}; give fewer {option('folds')}, or more units")
    chosen = _robust(asked, crossfit, selection) if robust else _best(asked, selection)
    if chosen is None:  # no folds say which committee meets the target
        selection, chosen = replace(selection, choose="best"), _best(asked, selection)
    return Plan(asked, selection, crossfit, chosen)


def with_evidence(planned: Plan) -> Selected:
    """The chosen committee with what it is expected to do on new units. It is compared with the reference as it would
    answer every unit; abstention comes after that.
    """
    asked, selection, chosen, crossfit = planned.asked, planned.selection, planned.chosen, planned.crossfit
    reference = _reference(asked, selection)
    if isinstance(crossfit, Skipped):
        committee = chosen.committee
        if selection.abstains:
            committee = abstaining_on(asked.solution.problem.pool, committee, selection)
        return Selected(committee, reference, Evidence(note=crossfit.why), replace(selection, folds=0))
    named = selection.reference is not None or asked.matched is not None
    shown = evidence(crossfit, chosen, reference, asked.frontier, selection, named=named)
    if selection.abstains:
        chosen = abstaining_across(crossfit, chosen, selection)
        shown = replace(shown, expected=expected_answers(crossfit, chosen))
    return Selected(chosen.committee, reference, shown, selection)


def settled(asked: Asked, selection: Selection) -> Selection:
    """The selection with its defaults filled in."""
    strategy, query = asked.solution.strategy, asked.solution.problem.query
    proved = strategy.name == "exact" or not strategy.proves
    if selection.choose == "robust" and not strategy.proves:
        raise UsageError(
            f"{option('choose', 'robust')} searches every combination, and this is {strategy.name}: choose fewer "
            f"models with {option('models')}, or {option('choose', 'best')}"
        )
    choose = selection.choose or ("best" if asked.target is None or proved else "robust")
    folds = selection.folds
    if folds is None:
        number = FOLDS if query.policy == Thresholds.kind else FITTED_FOLDS
        folds = number if affordable(asked, number * selection.repeats) else 0
    return replace(selection, choose=choose, folds=folds)


def affordable(asked: Asked, folds: int) -> bool:
    """Whether the search can be repeated for so many folds by default."""
    strategy, problem = asked.solution.strategy, asked.solution.problem
    levels = problem.query.levels if problem.family.thresholded else 1
    if strategy.name == "exact":
        levels = problem.pool.units
    one = (
        strategy.work(problem) if strategy.work else float(problem.estimate.combinations * levels * problem.pool.units)
    )
    return strategy.proves and one * folds <= MOST_WORK


def require_budget(selection: Selection, target: Target | None, query: Query) -> None:
    """UsageError for mixtures without a limit on the average cost, which they meet."""
    if selection.mix and (target is None or target.budget is None or query.axis != "average"):
        raise UsageError(
            f"{option('mix', True)} meets an average budget; name it with {option('target_flops')} or "
            f"{option('target_cost')}, over {option('axis', 'average')}"
        )


def cross_fitted(asked: Asked, selection: Selection) -> CrossFit | Skipped:
    """The searches without each fold; selection : with its defaults filled in."""
    if not selection.folds:
        return Skipped(f"no folds were searched; {option('folds', FOLDS)} searches them")
    if not asked.frontier.searched["complete"]:
        return Skipped("the search was stopped before its end")
    return cross_fit(fold_searches(asked, selection))


def fold_searches(asked: Asked, selection: Selection) -> FoldSearches:
    """The searches without each fold, before any is made; selection : with its defaults filled in."""
    prepared = robust_problem if selection.choose == "robust" else as_it_is
    return FoldSearches(
        asked.solution, selection.folds or 0, selection.repeats, selection.seed, prepared, selection.group_by
    )


def rule_before_folds(asked: Asked, selection: Selection) -> Chooser | None:
    """The rule of choice, where it does not depend on what the folds show: within a budget, or without a target."""
    if asked.target is None:
        return best_of_all
    if (limit := asked.target.budget) is None:
        return None
    return Mixed(limit, selection.seed) if selection.mix else Within(limit)


def _reference(asked: Asked, selection: Selection) -> Committee:
    """The committee of the comparison."""
    if selection.reference is not None:
        singles = {e.committee.models[0]: e.committee for e in asked.frontier.singles}
        if selection.reference not in singles:
            raise AbsentNameError("reference", selection.reference, sorted(singles))
        return singles[selection.reference]
    return (asked.matched or asked.frontier.best_single()).committee


def _best(asked: Asked, selection: Selection) -> Chosen:
    """The committee of the best figures on the units that choose."""
    target, best, pool = asked.target, asked.best.committee, asked.solution.problem.pool
    if target is None:
        return Chosen(best, best_of_all)
    if asked.matched is not None:
        return Chosen(best, Reaching(_outcomes(asked, asked.matched), pool.task))
    if target.budget is None:
        return Chosen(best, Reaching(amount(target.kind, target.value), pool.task))
    if selection.mix:
        return _within(asked.frontier, target.budget, selection)
    return Chosen(best, Within(target.budget))


def _within(frontier: Frontier, limit: float, selection: Selection) -> Chosen:
    """The best committee, or mixture where these are allowed, within a limit on the cost."""
    if selection.mix:
        mixing = Mixed(limit, selection.seed)
        return Chosen(mixing.of(frontier), mixing)
    rule = Within(limit)
    return Chosen(rule.of(frontier).committee, rule)


def _committee_within(selection: Selection, limit: float, frontier: Frontier) -> Committee:
    return _within(frontier, limit, selection).committee


def _robust(asked: Asked, crossfit: CrossFit | Skipped, selection: Selection) -> Chosen | None:
    """The committee that is expected to meet the target; None if that takes folds, and there are none."""
    problem, target, matched = asked.solution.problem, asked.target, asked.matched
    if target is None:
        return None
    frontier = robust_frontier(asked)
    if target.budget is not None and problem.query.policy != Thresholds.kind and isinstance(crossfit, CrossFit):
        rule = Budgeted.of(crossfit, target.budget, partial(_committee_within, selection))
        return Chosen(_committee_within(selection, rule.limit, frontier), rule)
    if target.budget is not None:
        return _within(frontier, target.budget, selection)
    if isinstance(crossfit, Skipped):
        return None
    if matched is not None:
        return _matching(asked, crossfit, frontier, matched)
    return _reaching(crossfit, frontier, amount(target.kind, target.value))


def robust_frontier(asked: Asked) -> Frontier:
    """The frontier of a search that fits the noise of the choosing units less (robust.py)."""
    problem = asked.solution.problem
    quiet = replace(problem.execution, progress=None, notify=None)
    known = replace(problem, execution=quiet, tables=asked.solution.tables)
    prepared = robust_problem(known)
    return asked.frontier if prepared is known else solve(prepared, asked.solution.strategy).frontier


def _matching(asked: Asked, crossfit: CrossFit, frontier: Frontier, matched: Evaluation) -> Chosen:
    """The cheapest committee that is expected to be as good as another one; that one itself where none is cheaper."""
    cheaper = [frontier.x(e) for e in frontier if frontier.x(e) < frontier.x(matched)]
    if cheaper:
        rule = Crossing.of(crossfit, cheaper, _outcomes(asked, matched))
        if rule.limit is not None:
            return Chosen(Within(rule.limit).of(frontier).committee, rule)
    return Chosen(matched.committee, Always(matched.committee))


def _reaching(crossfit: CrossFit, frontier: Frontier, wanted: float) -> Chosen:
    """The cheapest committee that is expected to reach a quality."""
    rule = Crossing.of(crossfit, [frontier.x(e) for e in frontier], wanted)
    if rule.limit is None:
        best = frontier.best().committee
        raise InfeasibleError(
            f"no committee is expected to reach {wanted:.6g} on new units; the best, {best.label()}, is expected to "
            f"reach {rule.best:.4g}. Lower {option('target_accuracy')}, or take {option('choose', 'best')}, which asks "
            f"for the accuracy on {crossfit.pool.split} only"
        )
    return Chosen(Within(rule.limit).of(frontier).committee, rule)


def _outcomes(asked: Asked, e: Evaluation) -> Outcomes:
    """The outcomes of a committee on all units."""
    return outcomes_of(prefix_tables(asked.solution.problem.pool, [e.committee]), [e.committee])[0]
