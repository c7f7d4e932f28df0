"""For every single model the committee of similar cost and the committee of similar accuracy (Wang et al. 2022, Fig. 5,
Tables 13, 16 and 18), with a bound on the worst case too (Table 4). Chosen on one split, shown on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape

from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, UsageError, option
from wisecommittee.searches.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Shown:
    """A committee on the split that chose it, and on the reporting split (None if the split or a member is missing)."""

    val: Evaluation
    test: Evaluation | None

    def on(self) -> tuple[Evaluation, ...]:
        """The evaluations on the split that chose and, if there is one, on the reporting split."""
        return (self.val,) if self.test is None else (self.val, self.test)

    @property
    def best(self) -> Evaluation:
        """The evaluation on the reporting split if there is one, else on the split that chose."""
        return self.test or self.val


@dataclass(frozen=True, slots=True)
class Match:
    """A model, the most accurate committee that costs no more on average, and the cheapest that is no less accurate.

    Both hold on the split that chooses; on the reporting split cost and accuracy are only similar.
    """

    single: Shown
    similar_cost: Shown
    similar_quality: Shown


@dataclass(frozen=True, slots=True)
class Guaranteed:
    """A model, and the cheapest committees that are as accurate: `without` and `within` a bound on the worst case.

    The bound is the cost of the model: all members together cost no more.
    """

    single: Shown
    without: Shown
    within: Shown


@dataclass(frozen=True, slots=True)
class Diversity:
    """A model, and the cheapest committees as accurate: of one architecture (`same`) and of any (`mixed`)."""

    single: Shown
    same: Shown
    mixed: Shown


def show(study: Study, chosen: Sequence[Evaluation]) -> list[Shown]:
    """The chosen evaluations, each with its evaluation on the reporting split."""
    tests = study.reported(chosen)
    return [Shown(e, tests[index] if tests else None) for index, e in enumerate(chosen)]


def singles_to_match(study: Study) -> list[Evaluation]:
    """One model of each architecture, its first replica, by cost (all models where the search takes any replica)."""
    first: dict[str, StoredCard] = {}
    for card in study.cards():
        first.setdefault(card.model if study.query.replicas == "all" else card.architecture, card)
    names = {card.model for card in first.values()}
    return [e for e in study.frontier().singles if e.committee.models[0] in names]


def match(study: Study) -> tuple[Match, ...]:
    """Matches by rising cost of the models. A model that no committee beats is matched by itself."""
    singles = singles_to_match(study)
    if len(study.cards()) < 2:
        raise AbsentError("there is one model only, so nothing can match it; extract or import another")
    frontier = study.frontier()
    if frontier.axis != "average":
        raise UsageError(
            f"models are matched by their average cost, and this frontier was searched over the {frontier.axis} cost; "
            f"leave it out, or save one that was searched without {option('axis')}"
        )
    costs = [frontier.within(average_cost=e.average_cost) for e in singles]
    qualities = [frontier.matching(e.quality) for e in singles]
    shown = show(study, [*singles, *costs, *qualities])
    n = len(singles)
    return tuple(Match(*rows) for rows in zip(shown[:n], shown[n : 2 * n], shown[2 * n :], strict=True))


def guaranteed(study: Study) -> tuple[Guaranteed, ...]:
    """Search with a worst-case limit for every model, since filtering one frontier would lose committees."""
    matches = match(study)
    within = [study.search(max_worst_cost=m.single.val.worst_case_cost).matching(m.single.val.quality) for m in matches]
    shown = show(study, within)
    return tuple(Guaranteed(m.single, m.similar_quality, w) for m, w in zip(matches, shown, strict=True))


def diversity(study: Study) -> tuple[Diversity, ...]:
    """Search the committees of each architecture; it needs replicas."""
    members: dict[str, list[str]] = {}
    for card in study.cards():
        members.setdefault(card.architecture, []).append(card.model)
    if max(map(len, members.values())) < 2:
        raise AbsentError(
            "every architecture has one replica, so there is no committee of one architecture; train replicas and "
            "name them b3/0, b3/1 (`wisecommittee train pool --replicas 4` does so for the digits pool)"
        )
    if len(members) < 2:
        raise AbsentError(f"{next(iter(members))} is the only architecture, so no committee is mixed; add another")
    matches = match(study)
    alike = [study.search(models=tuple(map(escape, models))) for models in members.values()]
    same = []
    for m in matches:
        quality = m.single.val.quality
        as_good = [f.matching(quality) for f in alike if f.best().quality >= quality]
        same.append(min(as_good, key=lambda e: (e.average_cost, -e.quality)))
    return tuple(Diversity(m.single, s, m.similar_quality) for m, s in zip(matches, show(study, same), strict=True))


def speedup(single: Evaluation, committee: Evaluation) -> float | None:
    """Average cost of the single model divided by that of the committee; None if the committee costs nothing."""
    return single.average_cost / committee.average_cost if committee.average_cost else None
