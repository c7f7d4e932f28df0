"""The committee of a frontier that meets a target by its figures on the units that choose."""

from __future__ import annotations

from dataclasses import replace
from glob import escape
from typing import TYPE_CHECKING

from wisecommittee.committees.cost import default_cost
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import (
    AbsentNameError,
    InfeasibleError,
    StoppedError,
)
from wisecommittee.option_checks import amount, texts
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.query import Query
from wisecommittee.searches.stages.pool import select_cards
from wisecommittee.searches.target import UNITS, Target
from wisecommittee.store import LogitStore

if TYPE_CHECKING:
    pass


def query_for(store: LogitStore, query: Query, target: Target | None) -> Query:
    """The query with the models and the number of members of an ensemble to match, and with the cost it is in."""
    if target is not None and target.kind == "match_ensemble":
        members = texts(target.kind, target.value)
        query = replace(query, models=tuple(map(escape, members)), replicas="all", max_models=len(members))
    if query.cost is None and target is not None and target.kind == "target_usd_per_1k":
        query = replace(query, cost=UNITS[target.kind])
    if query.cost is None:
        query = replace(query, cost=default_cost(select_cards(store, query.split, query.models)))
    if target is not None:
        target.require_unit(str(query.cost))
    return query


def matched_by(frontier: Frontier, store: LogitStore, target: Target | None, threads: int | None) -> Evaluation | None:
    """The model or the ensemble that the target names, on the split that chooses."""
    if target is not None and target.kind == "match":
        return single_named(frontier, str(target.value))
    if target is not None and target.kind == "match_ensemble":
        best = frontier.best()
        stage = texts(target.kind, target.value)
        together = replace(best.committee, stages=(stage,), policy=Thresholds(), members={})
        return evaluate(together, store, best.split, threads=threads, detail=CostDetail.of(frontier.query))
    return None


def meeting(frontier: Frontier, target: Target | None, matched: Evaluation | None) -> Evaluation:
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
    if target.budget is None:
        return frontier.matching(amount(target.kind, target.value))
    return frontier.within(cost=target.budget)


def single_named(frontier: Frontier, model: str) -> Evaluation:
    for single in frontier.singles:
        if single.committee.models == (model,):
            return single
    raise AbsentNameError(
        "model", model, [e.committee.models[0] for e in frontier.singles if e.committee.shape == "single"]
    )
