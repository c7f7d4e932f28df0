"""One question, one answer: search, choose by the target, evaluate again, put it beside single models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from typing import Any

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AbsentNameError, UsageError
from wisecommittee.search.doctor import REPORTING, copied
from wisecommittee.search.evaluate import Evaluation, evaluate, evaluate_all
from wisecommittee.search.frontier import COSTS, Frontier
from wisecommittee.search.limits import LimitFigures
from wisecommittee.search.search import search
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen committee on the split that chose it and on test (None without one), with what it is compared to.

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
            "references": {
                "best_single": _reference(self.best_single),
                "cheapest_single_as_accurate": None
                if self.cheapest_single is None
                else _reference(self.cheapest_single),
            },
            "speedup": self.speedup,
        }
        if not self.target:
            out["frontier"] = [{"committee": e.committee.to_json(), "val": self.figures(e)} for e in self.frontier]
        return out


def _reference(single: Evaluation) -> dict[str, Any]:
    out: dict[str, Any] = {
        "model": single.committee.models[0],
        "quality": single.quality,
        "cost": single.average_cost,
    }
    if single.committee.cost == "flops":
        out["flops"] = single.average_cost
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
    target = one_target(
        options.get("cost", "flops"),
        target_flops=target_flops,
        target_cost=target_cost,
        target_accuracy=target_accuracy,
        match=match,
        match_ensemble=None if match_ensemble is None else list(match_ensemble),
    )
    if match_ensemble is not None:
        options |= {"models": [escape(m) for m in match_ensemble], "replicas": "all"}
        options["max_models"] = len(match_ensemble)
    return choose(search(store, **options), store, target, threads=options.get("threads"))


def one_target(cost: str, **targets: Any) -> dict[str, Any]:
    """The target that was given, none or one of target_flops, target_cost, target_accuracy, match and match_ensemble;
    others are refused, before a search starts."""
    target = {name: value for name, value in targets.items() if value is not None}
    if len(target) > 1:
        named = " and ".join("--" + name.replace("_", "-") for name in target)
        raise UsageError(f"{named}: choose one target; the worst case can be limited beside it with --max-worst-flops")
    if "target_flops" in target and cost != "flops":
        raise UsageError(f"--target-flops with --cost {cost}; give the target in that unit with --target-cost")
    for name, value in target.items():
        option = "--" + name.replace("_", "-")
        if name == "match_ensemble":
            if len(set(value)) < max(2, len(value)):
                raise UsageError(f"{option} {', '.join(value)}; an ensemble has two different members or more")
            continue
        if name != "match" and not 0 <= value < float("inf"):
            raise UsageError(f"{option} {value}; expected a finite number from 0")
        if name == "target_accuracy" and value > 1:
            raise UsageError(f"{option} {value:g}; expected a share from 0 to 1, such as {value / 100:g}")
    return target


def choose(frontier: Frontier, store: LogitStore, target: dict[str, Any], *, threads: int | None = None) -> Answer:
    """The committee of a frontier that meets the target (as in `answer`), evaluated again on its splits."""
    if "target_accuracy" in target:
        chosen = frontier.matching(target["target_accuracy"])
    elif "match" in target:
        chosen = frontier.matching(single_named(frontier, target["match"]).quality)
    elif "match_ensemble" in target:
        found = frontier.best()
        together = replace(
            found.committee, stages=(tuple(target["match_ensemble"]),), thresholds=(), log_odds=(), members={}
        )
        chosen = frontier.matching(evaluate(together, store, found.split, threads=threads).quality)
    elif target:
        chosen = frontier.within(**{COSTS[frontier.axis]: next(iter(target.values()))})
    else:
        chosen = frontier.best()
    val = evaluate(chosen.committee, store, chosen.split, threads=threads)
    return Answer(
        frontier,
        target,
        val,
        next(iter(reported([val], store, threads=threads)), None),
        frontier.best_single(),
        frontier.cheapest_single_matching(val.quality),
        frontier.speedup(val),
        LimitFigures(store, frontier.query),
    )


def single_named(frontier: Frontier, model: str) -> Evaluation:
    for single in frontier.singles:
        if single.committee.models == (model,):
            return single
    raise AbsentNameError(
        "model", model, [e.committee.models[0] for e in frontier.singles if e.committee.shape == "single"]
    )


def reported(
    chosen: list[Evaluation], store: LogitStore, split: str = REPORTING, *, threads: int | None = None
) -> list[Evaluation]:
    """The same committees on the reporting split; empty if the store lacks it, or lacks some of their members there, or
    if its units are those that chose (with a warning)."""
    if not store.has_split(split) or any(e.split == split for e in chosen):
        return []
    for one in sorted({e.split for e in chosen}):
        if (why := copied(store, one, split)) is not None:
            warnings.warn(f"no figures of {split}: {why}", stacklevel=2)
            return []
    there: dict[str, ModelCard] = {card.model: card for card in store.cards(split)}
    if any(model not in there for e in chosen for model in e.committee.models):
        return []
    return evaluate_all([e.committee for e in chosen], store, split, threads=threads)
