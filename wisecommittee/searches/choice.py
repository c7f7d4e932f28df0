"""The committee of a frontier that meets a target, evaluated again and put beside single models."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from glob import escape
from typing import TYPE_CHECKING, Any

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import default_cost
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import (
    AbsentNameError,
    InfeasibleError,
    StoppedError,
    UsageError,
    WiseCommitteeError,
    option,
)
from wisecommittee.option_checks import amount, texts
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import COSTS, Frontier
from wisecommittee.searches.limits import LimitFigures
from wisecommittee.searches.query import Query
from wisecommittee.searches.reporting import lacking, on_test, reported
from wisecommittee.searches.resampling.evidence import Evidence
from wisecommittee.searches.resampling.on_test import compare_on
from wisecommittee.searches.resampling.selecting import Asked, Selected, select
from wisecommittee.searches.resampling.verdict import sentence_of
from wisecommittee.searches.search import Solution, solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.stages.pool import select_cards
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import LogitStore, StoreLike, open_store

if TYPE_CHECKING:
    from wisecommittee.searches.guarantees.certificate import Certificate

MEASURED = ("latency_ms", "batch_ms")  # costs that `bench-models` measures, of one unit


@dataclass(frozen=True, slots=True)
class Choice:
    """A committee of a frontier on the split that chose it and on test, and the single models it is compared with.

    Parameters
    ----------
    val, test
        The committee on the split that chose it and on the test split; None where the store has no such split.
    target
        What the committee was chosen for; None: the most accurate of the frontier.
    matched
        The model or the ensemble that the target names, on val; None with another target.
    lacking
        Members that the test split does not have, so that the committee has no figures there.
    further
        Figures that a query with limits asks for beside those of an evaluation.
    alone_on_test
        The single models above and the ensemble to match on the test split, by their members; without those that it
        lacks.
    speedup
        Cost of the cheapest single model as accurate over the committee's cost, both on val.
    evidence
        Expected figures, the comparison with a reference and the verdict.
    selection
        How the committee was chosen, with every default filled in.
    best_on_val
        The committee of the best figures on the split that chooses, beside a robust choice.
    certificate
        The tests of the statements that the committee was to satisfy; None where there are none.
    """

    frontier: Frontier
    target: Target | None
    val: Evaluation
    test: Evaluation | None
    best_single: Evaluation
    cheapest_single: Evaluation | None
    speedup: float | None
    matched: Evaluation | None = None
    lacking: tuple[str, ...] = ()
    further: LimitFigures | None = field(default=None, compare=False)
    evidence: Evidence = field(default_factory=Evidence)
    selection: Selection = field(default_factory=lambda: Selection(choose="best", folds=0))
    best_on_val: Evaluation | None = None
    certificate: Certificate | None = None
    alone_on_test: Mapping[tuple[str, ...], Evaluation] = field(default_factory=dict)

    def on_test(self, reference: Evaluation) -> Evaluation | None:
        """A single model of this choice, or the ensemble to match, on the test split."""
        return self.alone_on_test.get(reference.committee.models)

    def figures(self, evaluation: Evaluation) -> dict[str, Any]:
        """The figures of an evaluation, with the percentile and the further averages that the query limits."""
        return evaluation.figures() | ({} if self.further is None else self.further(evaluation))

    def to_json(self) -> dict[str, Any]:
        """The object `search --json` prints; without a target it also lists the frontier."""
        out: dict[str, Any] = {
            "query": {
                **self.frontier.asked(),
                **({} if self.target is None else self.target.to_json()),
                **self.selection.to_json(),
            },
            "searched": dict(self.frontier.searched),
            "committee": self.val.committee.to_json(),
            "val": self.figures(self.val),
            "test": None if self.test is None else self.figures(self.test),
            "test_lacks": list(self.lacking),
            "references": {
                "best_single": self._reference(self.best_single),
                "cheapest_single_as_accurate": self._reference(self.cheapest_single),
                "matched": self._reference(self.matched),
            },
            "speedup": self.speedup,
            **self.evidence.to_json(self.selection.margin),
            "best_on_val": None
            if self.best_on_val is None
            else {"committee": self.best_on_val.committee.to_json(), **self.figures(self.best_on_val)},
        }
        if self.certificate is not None:
            out["query"] |= self.certificate.asked.to_json()
            out |= self.certificate.to_json()
        if self.target is None:
            expected = self.frontier.expected or (None,) * len(self.frontier)
            out["frontier"] = [
                {
                    "committee": e.committee.to_json(),
                    "val": self.figures(e),
                    "expected": None if figures is None else figures.to_json(),
                }
                for e, figures in zip(self.frontier, expected, strict=True)
            ]
        return out

    def _reference(self, e: Evaluation | None) -> dict[str, Any] | None:
        """The JSON of a model by itself, or of an ensemble, whose members are its `models`; and on the test split."""
        if e is None:
            return None
        models, test = e.committee.models, self.on_test(e)
        out: dict[str, Any] = {"models": list(models)} if len(models) > 1 else {"model": models[0]}
        out |= {"quality": e.quality, "cost": e.average_cost}
        if e.committee.cost == "flops":
            out["flops"] = e.average_cost
        return out | {
            "test": None if test is None else {"quality": test.quality, "cost": test.average_cost, "n": test.n}
        }


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
    query, execution = query_for(store, query, target), execution or Execution()
    return choose_from(solution_of(store, query, execution), target, selection)


def query_for(store: LogitStore, query: Query, target: Target | None) -> Query:
    """The query with the models and the number of members of an ensemble to match, and with the cost it is in."""
    if target is not None and target.kind == "match_ensemble":
        members = texts(target.kind, target.value)
        query = replace(query, models=tuple(map(escape, members)), replicas="all", max_models=len(members))
    if query.cost is None:
        query = replace(query, cost=default_cost(select_cards(store, query.split, query.models)))
    if target is not None:
        target.require_unit(str(query.cost))
    return query


def choose_from(solution: Solution, target: Target | None, selection: Selection) -> Choice:
    """Choose the committee of a search that meets the target, and estimate what it does on new units."""
    store, frontier, threads = solution.problem.pool.store, solution.frontier, solution.problem.execution.threads
    matched = _matched(frontier, store, target, threads)
    best = _meeting(frontier, target, matched)
    selected = select(Asked(solution, target, best, matched), selection)
    expected = selected.evidence.expected
    committee = selected.committee if expected is None else replace(selected.committee, expected=expected.to_json())
    frontier = replace(frontier, expected=selected.evidence.along)
    choice = with_committee(frontier, store, target, matched, committee, threads)
    best_on_val = best if selected.selection.choose == "robust" else None
    return replace(
        choice,
        evidence=_completed(selected, choice, store, threads),
        selection=selected.selection,
        best_on_val=best_on_val,
    )


def _completed(selected: Selected, choice: Choice, store: LogitStore, threads: int | None) -> Evidence:
    """The evidence with measured times, and with the comparison on test where that split can be reported."""
    evidence, reference, test = selected.evidence, selected.reference, choice.test
    if evidence.comparison is None or evidence.verdict is None:
        return evidence
    comparison = replace(evidence.comparison, measured=_measured(choice, reference))
    if test is not None:
        with contextlib.suppress(WiseCommitteeError):  # test lacks the reference, or holds other weights of it
            difference = compare_on(store, test.split, test.committee, reference, threads=thread_count(threads))
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
    matched = _matched(frontier, store, target, threads)
    chosen = _meeting(frontier, target, matched)
    return with_committee(frontier, store, target, matched, chosen.committee, threads)


def with_committee(
    frontier: Frontier,
    store: LogitStore,
    target: Target | None,
    matched: Evaluation | None,
    committee: Committee,
    threads: int | None,
) -> Choice:
    """The choice of a committee, evaluated on its splits."""
    val = evaluate(committee, store, frontier.best().split, threads=threads)
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
    best, cheapest = frontier.best_single(), frontier.cheapest_single_matching(val.quality)
    test = next(iter(reported([val], store, threads=threads)), None)
    others = [e for e in (best, cheapest, matched) if e is not None and test is not None]
    return Choice(
        frontier,
        target,
        val,
        test,
        best,
        cheapest,
        frontier.speedup(val),
        matched,
        lacking([val], store),
        LimitFigures(store, frontier.query),
        alone_on_test=on_test(others, store, threads),
    )


def _matched(frontier: Frontier, store: LogitStore, target: Target | None, threads: int | None) -> Evaluation | None:
    """The model or the ensemble that the target names, on the split that chooses."""
    if target is not None and target.kind == "match":
        return single_named(frontier, str(target.value))
    if target is not None and target.kind == "match_ensemble":
        best = frontier.best()
        stage = texts(target.kind, target.value)
        together = replace(best.committee, stages=(stage,), policy=Thresholds(), members={})
        return evaluate(together, store, best.split, threads=threads)
    return None


def _meeting(frontier: Frontier, target: Target | None, matched: Evaluation | None) -> Evaluation:
    """The best committee of a frontier that meets the target."""
    try:
        return _best(frontier, target, matched)
    except InfeasibleError as error:
        if frontier.searched.get("complete", True):
            raise
        kind = StoppedError if frontier.searched.get("stopped_by") == "interrupt" else InfeasibleError
        raise kind(f"{error}, of the committees found before the search was stopped") from None


def _best(frontier: Frontier, target: Target | None, matched: Evaluation | None) -> Evaluation:
    if target is None:
        return frontier.best()
    if matched is not None:
        return frontier.matching(matched.quality)
    number = amount(target.kind, target.value)
    if target.kind == "target_accuracy":
        return frontier.matching(number)
    limit: dict[str, Any] = {COSTS[frontier.axis]: number}
    return frontier.within(**limit)


def single_named(frontier: Frontier, model: str) -> Evaluation:
    for single in frontier.singles:
        if single.committee.models == (model,):
            return single
    raise AbsentNameError(
        "model", model, [e.committee.models[0] for e in frontier.singles if e.committee.shape == "single"]
    )
