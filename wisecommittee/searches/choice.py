"""One question, one answer: search, choose by the target, evaluate again, put it beside single models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from typing import Any

from wisecommittee.committees.cost import default_cost
from wisecommittee.committees.policy import Thresholds
from wisecommittee.errors import AbsentNameError, InfeasibleError, StoppedError, UsageError
from wisecommittee.searches.doctor import REPORTING, copied
from wisecommittee.searches.evaluate import evaluate, evaluate_all
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import COSTS, Frontier
from wisecommittee.searches.limits import LimitFigures
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import select_cards
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen committee on the split that chose it and on test (None without one), with what it is compared to.

    matched : what --match or --match-ensemble names, on val; None with another target
    lacking : members of the committee that the test split does not have, so that it has no figures there
    further : the figures that a query with limits asks for beside those of an evaluation
    speedup : cost of the cheapest single model as accurate over the committee's average cost, both on val.
    """

    frontier: Frontier
    target: dict[str, Any]
    val: Evaluation
    test: Evaluation | None
    best_single: Evaluation
    cheapest_single: Evaluation | None
    speedup: float | None
    matched: Evaluation | None = None
    lacking: tuple[str, ...] = ()
    further: LimitFigures | None = field(default=None, compare=False)

    def figures(self, evaluation: Evaluation) -> dict[str, Any]:
        """Its figures, with percentile and further averages where the query limits them."""
        return evaluation.figures() | ({} if self.further is None else self.further(evaluation))

    def to_json(self) -> dict[str, Any]:
        """The object `search --json` prints; without a target it also lists the frontier."""
        out: dict[str, Any] = {
            "query": {**self.frontier.query, **self.target},
            "searched": dict(self.frontier.searched),
            "committee": self.val.committee.to_json(),
            "val": self.figures(self.val),
            "test": None if self.test is None else self.figures(self.test),
            "test_lacks": list(self.lacking),
            "references": {
                "best_single": _reference(self.best_single),
                "cheapest_single_as_accurate": None
                if self.cheapest_single is None
                else _reference(self.cheapest_single),
                "matched": None if self.matched is None else _reference(self.matched),
            },
            "speedup": self.speedup,
        }
        if not self.target:
            out["frontier"] = [{"committee": e.committee.to_json(), "val": self.figures(e)} for e in self.frontier]
        return out


def _reference(e: Evaluation) -> dict[str, Any]:
    """Of a model by itself, or of the members of an ensemble as `models`."""
    models = e.committee.models
    out: dict[str, Any] = {"models": list(models)} if len(models) > 1 else {"model": models[0]}
    out |= {"quality": e.quality, "cost": e.average_cost}
    if e.committee.cost == "flops":
        out["flops"] = e.average_cost
    return out


def answer(
    store: LogitStore,
    *,
    target_flops: float | None = None,
    target_cost: float | None = None,
    target_accuracy: float | None = None,
    match: str | None = None,
    match_ensemble: Sequence[str] | None = None,
    **options: Any,
) -> Answer:
    """Search with `options` (those of `search`) and choose: the most accurate committee within a target cost, the
    cheapest of a target accuracy or as accurate as the model `match`, or without a target the most accurate of all.

    match_ensemble : members of an ensemble; the answer is the cheapest committee of these same members, in any order,
    that is as accurate as all of them together (Wang et al. 2022, Sec. 4.2).
    """
    if match_ensemble is not None:
        options |= {"models": [escape(m) for m in match_ensemble], "replicas": "all"}
        options["max_models"] = len(match_ensemble)
    if options.get("cost") is None:
        options["cost"] = default_cost(select_cards(store, options.get("split", "val"), options.get("models")))
    target = one_target(
        options["cost"],
        target_flops=target_flops,
        target_cost=target_cost,
        target_accuracy=target_accuracy,
        match=match,
        match_ensemble=None if match_ensemble is None else list(match_ensemble),
    )
    return choose(search(store, **options), store, target, threads=options.get("threads"))


def one_target(cost: str, **targets: Any) -> dict[str, Any]:
    """The target that was given, none or one of target_flops, target_cost, target_accuracy, match and match_ensemble;
    others are refused, before a search starts."""
    target = {name: value for name, value in targets.items() if value is not None}
    if len(target) > 1:
        named = " and ".join("--" + name.replace("_", "-") for name in target)
        raise UsageError(f"{named}: choose one target; the worst case can be limited beside it with --max-worst-flops")
    if "target_flops" in target and cost != "flops":
        raise UsageError(f"--target-flops, and the cost is {cost}; give the target in that unit with --target-cost")
    for name, value in target.items():
        option = "--" + name.replace("_", "-")
        if name == "match_ensemble":
            if len(set(value)) < max(2, len(value)):
                raise UsageError(
                    f"{option} {','.join(value)}; an ensemble has two different members or more; name all of them, as "
                    f"{option} A,B"
                )
            continue
        if name != "match" and not 0 <= value < float("inf"):
            raise UsageError(f"{option} {value}; expected a finite number from 0")
        if name == "target_accuracy" and value > 1:
            likely = value / 100 if value <= 100 else 0.9
            raise UsageError(f"{option} {value:g}; expected a share from 0 to 1, such as {likely:g}")
    return target


def choose(frontier: Frontier, store: LogitStore, target: dict[str, Any], *, threads: int | None = None) -> Answer:
    """The committee of a frontier that meets the target (as in `answer`), evaluated again on its splits."""
    matched = None
    if "match" in target:
        matched = single_named(frontier, target["match"])
    elif "match_ensemble" in target:
        found = frontier.best()
        together = replace(found.committee, stages=(tuple(target["match_ensemble"]),), policy=Thresholds(), members={})
        matched = evaluate(together, store, found.split, threads=threads)
    try:
        chosen = _meeting(frontier, target, matched)
    except InfeasibleError as error:
        if frontier.searched.get("complete", True):
            raise
        kind = StoppedError if frontier.searched.get("stopped_by") == "interrupt" else InfeasibleError
        raise kind(f"{error}, of what was found before the search was stopped") from None
    val = evaluate(chosen.committee, store, chosen.split, threads=threads)
    return Answer(
        frontier,
        target,
        val,
        next(iter(reported([val], store, threads=threads)), None),
        frontier.best_single(),
        frontier.cheapest_single_matching(val.quality),
        frontier.speedup(val),
        matched,
        lacking([val], store),
        LimitFigures(store, frontier.query),
    )


def _meeting(frontier: Frontier, target: dict[str, Any], matched: Evaluation | None) -> Evaluation:
    if matched is not None:
        return frontier.matching(matched.quality)
    if "target_accuracy" in target:
        return frontier.matching(target["target_accuracy"])
    if target:
        return frontier.within(**{COSTS[frontier.axis]: next(iter(target.values()))})
    return frontier.best()


def single_named(frontier: Frontier, model: str) -> Evaluation:
    for single in frontier.singles:
        if single.committee.models == (model,):
            return single
    raise AbsentNameError(
        "model", model, [e.committee.models[0] for e in frontier.singles if e.committee.shape == "single"]
    )


def reported(
    chosen: Sequence[Evaluation], store: LogitStore, split: str = REPORTING, *, threads: int | None = None
) -> list[Evaluation | None]:
    """The same committees on the reporting split, None where it lacks a member (see `lacking`); empty if it has none of
    them, or chose one, or if its units are those that chose (with a warning)."""
    if not store.has_split(split) or any(e.split == split for e in chosen):
        return []
    for one in sorted({e.split for e in chosen}):
        if (why := copied(store, one, split)) is not None:
            warnings.warn(f"no figures of {split}: {why}", stacklevel=2)
            return []
    there = set(store.models(split))
    places = [place for place, e in enumerate(chosen) if there.issuperset(e.committee.models)]
    found = evaluate_all([chosen[place].committee for place in places], store, split, threads=threads)
    at = dict(zip(places, found, strict=True))
    return [at.get(place) for place in range(len(chosen))] if at else []


def lacking(chosen: Sequence[Evaluation], store: LogitStore, split: str = REPORTING) -> tuple[str, ...]:
    """Members of these committees that the reporting split lacks; none where there is no such split."""
    if not store.has_split(split):
        return ()
    return tuple(sorted({model for e in chosen for model in e.committee.models} - set(store.models(split))))
