"""A search whose committee satisfies statements on new units with a stated probability."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import UsageError, option
from wisecommittee.option_checks import amount, texts
from wisecommittee.searches.choice import Choice
from wisecommittee.searches.choosing import beside_singles
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.guarantees.answerable import classes_named, require_answerable
from wisecommittee.searches.guarantees.certificate import Certificate
from wisecommittee.searches.guarantees.certify import certify
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.units import testing_pool
from wisecommittee.searches.meeting import query_for, single_named
from wisecommittee.searches.methods import strategy_for
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.evidence import Evidence
from wisecommittee.searches.search import solve
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import interruptible
from wisecommittee.store import StoreLike, open_store

NOTE = "the figures on the units that test are those to expect of new units"


@interruptible()
def search_with_guarantee(
    store: StoreLike,
    asked: GuaranteeOptions,
    query: Query | None = None,
    target: Target | None = None,
    execution: Execution | None = None,
    selection: Selection | None = None,
) -> Choice:
    """Search on a part of the units, and return the committee for which the other units show the statements.

    The probability that a committee is returned with `holds` and a statement is false of new units is at most delta,
    if the units that test are independent draws of the same distribution as new units.

    Parameters
    ----------
    store : LogitStore or path
    asked : GuaranteeOptions
        The statements, delta, and the units that test.
    query : Query, optional
    target : Target, optional
        Limits which committees are tested, by their figures on the units that choose, and says the aim: the most
        accurate within a target cost, the cheapest of a target accuracy. Without one, the aim is the lowest cost, or
        the highest quality where all statements are about costs.
    execution : Execution, optional
    selection : Selection, optional
        Its seed draws the units that test. There are no folds.

    Returns
    -------
    Choice
        `val` has the figures on the units that choose, `certificate` those on the units that test. Where nothing is
        shown, `certificate.holds` is False and the committee is the one whose statements were surest.

    Raises
    ------
    UsageError
        A statement cannot be made of these models.
    InfeasibleError
        There are too few units, or no committee meets the target or the limits.
    StoreError, CommitteeError
        The split that tests is not there, holds the units that choose, or lacks models.

    Examples
    --------
    >>> asked = GuaranteeOptions(guarantee=["accuracy >= best_single - 0.01"])      # doctest: +SKIP
    >>> choice = search_with_guarantee("logits", asked)                             # doctest: +SKIP
    >>> choice.certificate.holds, choice.val.committee.save("committee.json")       # doctest: +SKIP
    """
    if not asked.guarantee:
        raise UsageError(f"nothing to guarantee; name a statement, {option('guarantee', 'accuracy >= 0.95')}")
    selection = selection or Selection()
    _require_no_other_choice(selection)
    query, execution = query or Query(), execution or Execution()
    store = open_store(store).with_labels_from(query.labels_from)
    problem = pose(store, query_for(store, query, target), execution)
    choosing, testing = testing_pool(problem.pool, store, asked, selection.seed, selection.group_by)
    classes_named(asked.statements, testing)
    require_answerable(asked.statements, testing, asked.delta)
    part = problem if choosing.rows is None else problem.of_units(choosing.rows)
    frontier = solve(part, strategy_for(part)).frontier
    threads = execution.thread_count
    matched, least = _matched(frontier, target, choosing, threads)
    chosen, certificate = certify(frontier, asked, (choosing, testing), target, least, threads)
    if selection.group_by is not None:
        certificate = certificate.of_groups(selection.group_by)
    choice = _choice(frontier, store, target, (chosen, certificate), matched, threads)
    choice = replace(choice, selection=replace(selection, choose="best", folds=0), evidence=Evidence(note=NOTE))
    return choice.recorded(store)


def _require_no_other_choice(selection: Selection) -> None:
    """The statements decide which committee is returned, and the units that test say what to expect of it."""
    if selection.abstains:
        name = "abstain_cost" if selection.abstain_cost is not None else "answered_accuracy"
        raise UsageError(
            f"{option(name, getattr(selection, name))} with {option('guarantee')}: the statements are about committees "
            f"that answer every unit; leave one of them out"
        )
    given = {name: getattr(selection, name) for name in ("choose", "folds", "reference")}
    if given["choose"] == "best":  # of the committees that pass, which is the rule here
        del given["choose"]
    for name, value in given.items():
        if value:
            raise UsageError(
                f"{option(name, value)} with {option('guarantee')}: the statements choose the committee, and the units "
                f"that test them say what to expect of it; leave one of them out"
            )


def _matched(
    frontier: Frontier, target: Target | None, choosing: Pool, threads: int
) -> tuple[Evaluation | None, float | None]:
    """The model or ensemble that the target names, on the units that choose, and the quality to reach."""
    if target is None or target.budget is not None:
        return None, None
    if target.kind == "target_accuracy":
        return None, amount(target.kind, target.value)
    if target.kind == "match":
        matched = single_named(frontier, str(target.value))
    else:
        members = texts(target.kind, target.value)
        together = replace(frontier.best().committee, stages=(members,), policy=Thresholds(), members={})
        matched = evaluate_in(choosing, [together], threads)[0]
    return matched, matched.quality


def _choice(
    frontier: Frontier,
    store: Any,
    target: Target | None,
    found: tuple[Evaluation, Certificate],
    matched: Evaluation | None,
    threads: int,
) -> Choice:
    """The chosen committee with its guarantee, beside the single models on the units that choose."""
    chosen, certificate = found
    shown = tuple(each.to_json() for each in certificate.statements) if certificate.holds else ()
    val = replace(chosen, committee=replace(chosen.committee, guarantee=shown))
    return replace(beside_singles(frontier, store, target, matched, val, threads), certificate=certificate)
