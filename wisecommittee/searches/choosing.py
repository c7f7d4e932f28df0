"""The choice of a committee after a search, evaluated again and put beside single models."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import (
    UsageError,
    WiseCommitteeError,
    option,
)
from wisecommittee.searches.certainty import answering
from wisecommittee.searches.choice import Choice
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.every_policy import select_among
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.meeting import matched_by, meeting, query_for
from wisecommittee.searches.methods import AUTO_POLICY
from wisecommittee.searches.query import Query
from wisecommittee.searches.reporting import lacking, on_test, reported
from wisecommittee.searches.resampling.evidence import Evidence
from wisecommittee.searches.resampling.on_test import compare_on
from wisecommittee.searches.resampling.selecting import Asked, Selected, require_budget, select
from wisecommittee.searches.resampling.verdict import sentence_of
from wisecommittee.searches.search import Solution, solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import LogitStore, StoreLike, open_store

if TYPE_CHECKING:
    pass


MEASURED = ("latency_ms", "batch_ms")  # costs that `bench-models` measures, of one unit


def search_and_choose(
    store: StoreLike,
    query: Query,
    target: Target | None = None,
    execution: Execution | None = None,
    selection: Selection | None = None,
) -> Choice:
    """Search, choose the committee that meets the target, and estimate what it does on new units.

    Parameters
    ----------
    store : LogitStore or path
    query : Query
    target : Target, optional
        None: the most accurate committee. An ensemble to match decides what is searched: its models, all replicas, and
        at most as many members as it has.
    execution, selection : Execution, Selection, optional
        How the search runs, and how the committee is chosen and judged; by default all defaults.

    Returns
    -------
    Choice
        The committee with its figures on the split that chose it (`val`) and on test; in `evidence` the figures to
        expect on new units, the comparison with a reference and the verdict.

    Raises
    ------
    UsageError
        The query cannot be asked of these models, or the options exclude each other.
    InfeasibleError
        No committee keeps the limits or meets the target.
    AbsentError
        There are too few units for the folds that are asked for.

    Examples
    --------
    >>> choice = search_and_choose("logits", Query(), Target("match", "b7/0"))      # doctest: +SKIP
    >>> choice.evidence.verdict.word, choice.evidence.expected.quality              # doctest: +SKIP
    """
    store, selection = open_store(store), selection or Selection()
    if (query.exact or query.method == "exact") and selection.choose == "robust":
        raise UsageError(
            f"{option('exact', True)} proves the best committee on the split that chooses, and "
            f"{option('choose', 'robust')} takes another one; leave one of them out"
        )
    store = store.with_labels_from(query.labels_from)
    query, execution = query_for(store, query, target), execution or Execution()
    require_budget(selection, target, query)
    if query.policy == AUTO_POLICY and selection.folds != 0:
        among = select_among(pose(store, query, execution), target, selection)
        return _choice(among.selected, among.frontier, store, target, among.matched, among.best, execution.threads)
    return choose_from(solution_of(store, query, execution), target, selection)


def choose_from(solution: Solution, target: Target | None, selection: Selection) -> Choice:
    """Choose the committee of a search that meets the target, and estimate what it does on new units."""
    require_budget(selection, target, solution.problem.query)
    store, frontier, threads = solution.problem.pool.store, solution.frontier, solution.problem.execution.threads
    matched = matched_by(frontier, store, target, threads)
    best = meeting(frontier, target, matched)
    selected = select(Asked(solution, target, best, matched), selection)
    return _choice(selected, frontier, store, target, matched, best, threads)


def _choice(
    selected: Selected,
    frontier: Frontier,
    store: LogitStore,
    target: Target | None,
    matched: Evaluation | None,
    best: Evaluation,
    threads: int | None,
) -> Choice:
    """The choice of a selected committee. matched, best : as of Asked."""
    expected = selected.evidence.expected
    committee = selected.committee if expected is None else replace(selected.committee, expected=expected.to_json())
    frontier = replace(frontier, expected=selected.evidence.along)
    choice = with_committee(frontier, store, target, matched, committee, threads)
    choice = replace(
        choice,
        evidence=completed(selected, choice, store, threads),
        selection=selected.selection,
        best_on_val=best if selected.selection.choose == "robust" else None,
    )
    return choice.recorded(store)


def completed(selected: Selected, choice: Choice, store: LogitStore, threads: int | None) -> Evidence:
    """The evidence with measured times, and with the comparison on test where that split can be reported."""
    evidence, reference, test = selected.evidence, selected.reference, choice.test
    if evidence.comparison is None or evidence.verdict is None:
        return evidence
    comparison = replace(evidence.comparison, measured=_measured(choice, reference))
    if test is not None:
        with contextlib.suppress(WiseCommitteeError):  # test lacks the reference, or holds other weights of it
            whole = answering(test.committee)
            by = selected.selection.group_by
            difference = compare_on(store, test.split, whole, reference, group_by=by, threads=thread_count(threads))
            comparison = replace(comparison, test=difference)
    verdict = replace(evidence.verdict, sentence=sentence_of(comparison, selected.selection.margin))
    return replace(evidence, comparison=comparison, verdict=verdict)


def _measured(choice: Choice, reference: Committee) -> dict[str, float]:
    """The reference's time over the committee's on the split that chooses, by the measured times on their cards."""
    known = [e for e in (choice.matched, *choice.frontier.singles) if e and e.committee.models == reference.models]
    if not known:
        return {}
    ours, other = choice.val.further, known[0].further
    return {
        name: other[name].average / ours[name].average
        for name in MEASURED
        if name in ours and name in other and ours[name].average
    }


def choose(
    frontier: Frontier, store: LogitStore, target: Target | None = None, *, threads: int | None = None
) -> Choice:
    """The best committee of a frontier that meets the target (None: the most accurate), evaluated again on its splits.
    Its figures on the split that chose it are optimistic; `search_and_choose` estimates by how much.

    Raises
    ------
    InfeasibleError
        No committee of the frontier meets the target.
    """
    store = store.with_labels_from(frontier.query.labels_from)
    matched = matched_by(frontier, store, target, threads)
    chosen = meeting(frontier, target, matched)
    return with_committee(frontier, store, target, matched, chosen.committee, threads).recorded(store)


def with_committee(
    frontier: Frontier,
    store: LogitStore,
    target: Target | None,
    matched: Evaluation | None,
    committee: Committee,
    threads: int | None,
) -> Choice:
    """The choice of a committee, evaluated on its splits."""
    detail = CostDetail.of(frontier.query)
    val = evaluate(committee, store, frontier.best().split, threads=threads, detail=detail)
    return beside_singles(frontier, store, target, matched, val, threads)


def beside_singles(
    frontier: Frontier,
    store: LogitStore,
    target: Target | None,
    matched: Evaluation | None,
    val: Evaluation,
    threads: int | None,
) -> Choice:
    """The choice of a committee from its evaluation on the units that chose it."""
    quality = val.quality
    if val.committee.abstains:
        quality = evaluate(answering(val.committee), store, val.split, threads=threads).quality
    best, cheapest = frontier.best_single(), frontier.cheapest_single_matching(quality)
    test = next(iter(reported([val], store, threads=threads)), None)
    others = [e for e in (best, cheapest, matched) if e is not None and test is not None]
    splits = [e.split for e in (val, test) if e is not None]
    left_out = None if store.labels_from is None else {split: store.left_out(split) for split in splits}
    return Choice(
        frontier,
        target,
        val,
        test,
        best,
        cheapest,
        frontier.speedup(val, quality),
        matched,
        lacking([val], store),
        left_out=left_out,
        alone_on_test=on_test(others, store, threads),
    )
