"""The cost of training committees instead of a larger model (Wang et al. 2022, App. C.2, Tables 10 and 11)."""

from __future__ import annotations

from dataclasses import dataclass

from wisecommittee.analyses.match import Shown, match, show
from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError, counted
from wisecommittee.searches.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """A model, the cheapest ensemble and the cheapest committee at least as accurate (on the split that chooses), each
    with what its members cost to train together, in the unit of the cards."""

    single: Shown
    ensemble: Shown
    committee: Shown
    costs: tuple[float, float, float]


def training(study: Study) -> tuple[TrainingCost, ...]:
    """A comparison for every single model, by cost."""
    known = {card.model: card.training_cost for card in study.cards()}
    if missing := [model for model, cost in known.items() if cost is None]:
        raise AbsentError(
            f"no training cost on the card of {missing[0]} ({len(missing)} of {counted(len(known), 'model')} without); "
            "add a column training_cost (days, dollars or multiply-adds) to models.csv, then `wisecommittee import "
            "--costs models.csv`"
        )
    matches = match(study)
    together = study.search(family="ensemble")
    ensembles = show(study, [together.matching(m.single.val.quality) for m in matches])

    def spent(e: Evaluation) -> float:
        return float(sum(known[model] or 0.0 for model in e.committee.models))

    return tuple(
        TrainingCost(m.single, e, m.similar_quality, (spent(m.single.val), spent(e.val), spent(m.similar_quality.val)))
        for m, e in zip(matches, ensembles, strict=True)
    )
