"""Families of cascades made by scaling up (Wang et al. 2022, App. E.2, Table 15): every member of a base cascade moves
up its architecture ladder, and the thresholds are fitted again to the cost of the ladder's model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape

from wisecommittee.analyses.match import Shown, show
from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, option
from wisecommittee.searches.sequences import GivenSequences, best_within

MEMBERS = 3  # of a base cascade that is searched for, as in the paper
RUNGS = 3  # a ladder that is worth climbing


@dataclass(frozen=True, slots=True)
class ScaledCascade:
    """members : as they run; single : the ladder's model whose cost is the limit; cascade : the best thresholds within
    it on the split that chooses, None if the first member alone costs more."""

    name: str
    members: tuple[str, ...]
    single: Shown
    cascade: Shown | None


Ladder = list[list[StoredCard]]  # replicas of each architecture, cheapest architecture first
Place = tuple[str, int, int]  # ladder, rung, which replica


def ladder_name(architecture: str) -> str:
    """'efficientnet_b3' -> 'efficientnet_b': what the architectures of one ladder have in common."""
    return re.sub(r"\d+(\.\d+)?", "", architecture)


def scaled_cascades(study: Study) -> tuple[ScaledCascade, ...]:
    """C0, C1, .. until a member has no larger architecture.

    The base cascade is the one that the user names, else the best cascade of up to 3 members from the lower half of the
    longest ladder that costs no more than the ladder's second model.
    """
    singles = {e.committee.models[0]: e for e in study.search(max_models=1).singles}
    costs = {model: e.average_cost for model, e in singles.items()}
    every = _ladders([c for c in study.cards() if c.model in costs], costs)  # not the mean of several, as r50+r101
    base, ladder, first = _named_base(study, every, costs) if study.committees else _found_base(study, every, costs)
    climbs: list[tuple[tuple[str, ...], str]] = []
    while first + len(climbs) < len(ladder) and (members := _climbed(every, base, len(climbs))):
        climbs.append((members, ladder[first + len(climbs)][0].model))
    pool = study.pool()
    sequences = [tuple(pool.index(m) for m in members) for members, _ in climbs]
    given = GivenSequences(pool, sequences, threads=study.threads, progress=study.progress)
    limits = [singles[model] for _, model in climbs]
    best = [
        best_within(given.frontier([s], study.query.levels), e.average_cost)
        for s, e in zip(sequences, limits, strict=True)
    ]
    shown = iter(show(study, [e for e in best if e is not None]))
    rows = zip(climbs, show(study, limits), best, strict=True)
    return tuple(
        ScaledCascade(f"C{k}", members, single, None if e is None else next(shown))
        for k, ((members, _), single, e) in enumerate(rows)
    )


def _ladders(cards: Sequence[StoredCard], costs: Mapping[str, float]) -> dict[str, Ladder]:
    copies: dict[str, list[StoredCard]] = {}
    for card in cards:
        copies.setdefault(card.architecture, []).append(card)
    ladders: dict[str, Ladder] = {}
    for architecture, replicas in copies.items():
        ladders.setdefault(ladder_name(architecture), []).append(replicas)
    return {name: sorted(rungs, key=lambda r: (costs[r[0].model], r[0].key)) for name, rungs in ladders.items()}


def _found_base(
    study: Study, every: Mapping[str, Ladder], costs: Mapping[str, float]
) -> tuple[list[Place], Ladder, int]:
    ladder = max(every.values(), key=len)
    if len(ladder) < RUNGS:
        raise AbsentError(
            f"no ladder of {RUNGS} architectures in this pool: names that differ in their numbers only, as b0, b1, b2 "
            f"(the longest here is {', '.join(r[0].architecture for r in ladder)}); add larger or smaller ones"
        )
    low = ladder[: max(2, (len(ladder) + 1) // 2)]
    models = tuple(escape(card.model) for replicas in low for card in replicas)
    frontier = study.search(models=models, max_models=min(MEMBERS, study.max_models))
    return _positions(every, frontier.within(average_cost=costs[ladder[1][0].model]).committee.models), ladder, 1


def _named_base(
    study: Study, every: Mapping[str, Ladder], costs: Mapping[str, float]
) -> tuple[list[Place], Ladder, int]:
    """The base cascade that the user named.

    Its ladder is the longest ladder of its members; the first limit is the model of that ladder with the nearest cost.
    """
    base = study.named()[0]
    positions = _positions(every, base.committee.models)
    ladder = max((every[name] for name, _, _ in positions), key=len)
    ratios = [costs[replicas[0].model] / base.average_cost if base.average_cost else 0.0 for replicas in ladder]
    away = [abs(math.log(ratio)) if ratio else math.inf for ratio in ratios]
    return positions, ladder, away.index(min(away))


def _positions(every: Mapping[str, Ladder], models: Sequence[str]) -> list[Place]:
    positions = {
        card.model: (name, rung, replica)
        for name, ladder in every.items()
        for rung, replicas in enumerate(ladder)
        for replica, card in enumerate(replicas)
    }
    if missing := [m for m in models if m not in positions]:
        raise AbsentError(
            f"{missing[0]} of the base cascade is not among the models here; leave {option('models')} out"
        )
    return [positions[m] for m in models]


def _climbed(every: Mapping[str, Ladder], base: Sequence[Place], steps: int) -> tuple[str, ...]:
    """The models `steps` rungs higher; empty if a ladder ends or a replica is missing."""
    out = []
    for name, rung, replica in base:
        if rung + steps >= len(every[name]) or replica >= len(every[name][rung + steps]):
            return ()
        out.append(every[name][rung + steps][replica].model)
    return tuple(out)
