"""How each kind of statement about a committee is tested on units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.guarantees.hypothesis import (
    BETTING,
    BETTING_UP_TO_THE_DEAREST,
    Certain,
    Difference,
    Hypothesis,
    Mean,
    Share,
)
from wisecommittee.searches.guarantees.results import Results, UnitCosts
from wisecommittee.searches.statements.statement import Guarantee
from wisecommittee.statistics.paired import PairedCounts

Stages = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a test.

    labels : [n]; counts : whether a unit is right or wrong, not graded; order : int64 [n], a random order; references :
    results of single models, by name; classes : the value in labels and predictions of each class that a statement
    names; most : by stages of a committee and name of a cost that varies per unit, the most that a unit can cost.
    """

    labels: NDArray[np.generic]
    counts: bool
    order: NDArray[np.int64]
    references: Mapping[str, Results]
    classes: Mapping[str, Any]
    most: Mapping[tuple[Stages, str], float]


def hypothesis(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    """The hypothesis that a statement about a committee is false, from its results on the units that test it."""
    return _HYPOTHESES[guarantee.figure](guarantee, results, units)


def _accuracy(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    if guarantee.subject is None:
        if units.counts:
            return Share(int(results.worth.sum()), len(results.worth), guarantee.number)
        return Mean(results.worth[units.order], guarantee.number)
    reference, margin, factor = units.references[guarantee.subject], -guarantee.number, guarantee.factor
    if results.committee.decides_as(reference.committee) and margin >= 0 and factor <= 1:
        return Certain(len(results.worth), 0.0)
    if units.counts and factor == 1:
        return Difference(PairedCounts.of(results.worth > 0, reference.worth > 0), margin)
    differences = (results.worth - factor * reference.worth)[units.order]  # from -factor to 1
    spread = 1 + factor
    return Mean((differences + factor) / spread, (factor - margin) / spread, scale=spread, margin=margin)


def _agreement(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    reference = units.references[str(guarantee.subject)]
    if results.committee.decides_as(reference.committee):
        return Certain(len(results.worth), guarantee.number - 1)
    return Share(int((results.prediction == reference.prediction).sum()), len(results.worth), guarantee.number)


def _precision(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    """Over the units that are predicted as the class: given which they are, each is right independently."""
    positive = units.classes[str(guarantee.subject)]
    predicted = results.prediction == positive
    return Share(int((units.labels[predicted] == positive).sum()), int(predicted.sum()), guarantee.number)


def _recall(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    """Over the units whose label is the class: given which they are, each is found independently."""
    positive = units.classes[str(guarantee.subject)]
    labelled = units.labels == positive
    return Share(int((results.prediction[labelled] == positive).sum()), int(labelled.sum()), guarantee.number)


def _average(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    costs, (least, most) = _costs(guarantee, results, units)
    if guarantee.reference is not None:
        theirs, (low, high) = _costs(guarantee, units.references[guarantee.reference], units)
        if low < high:
            return _compared_costs(guarantee, (costs, most), (theirs, high), units)
        guarantee = guarantee.with_number(guarantee.number + guarantee.factor * high)
    n, saved = len(costs.values), most - costs.values
    if costs.possible and most <= guarantee.number:
        return Certain(n, most - guarantee.number)
    spread = (most - least) or 1.0
    number = (most - guarantee.number) / spread  # the least mean share of the spread that is saved
    if (saved < 0).any():  # a unit costs more than was taken for the most
        number = 2.0
    if len(costs.possible) == 2:
        return Share(int((saved > 0).sum()), n, min(number, 1.0), scale=spread)
    method = BETTING if costs.possible else BETTING_UP_TO_THE_DEAREST
    return Mean(np.clip(saved / spread, 0, 1)[units.order], number, scale=spread, method=method)


def _compared_costs(
    guarantee: Guarantee, ours: tuple[UnitCosts, float], theirs: tuple[UnitCosts, float], units: Units
) -> Hypothesis:
    """Of a mean cost that is compared with a model's on the same units; each with the most that a unit can cost."""
    (costs, most), (reference, high) = ours, theirs
    saved = most - costs.values + guarantee.factor * reference.values
    spread = most + guarantee.factor * high
    number = 2.0 if (costs.values > most).any() else (most - guarantee.number) / spread
    return Mean(np.clip(saved / spread, 0, 1)[units.order], number, scale=spread, method=BETTING_UP_TO_THE_DEAREST)


def _exceeding(guarantee: Guarantee, results: Results, units: Units) -> Hypothesis:
    costs, (_, most) = _costs(guarantee, results, units)
    assert guarantee.limit is not None
    within = int((costs.values <= guarantee.limit).sum())
    if costs.possible and most <= guarantee.limit:
        return Certain(len(costs.values), -guarantee.number)
    return Share(within, len(costs.values), 1 - guarantee.number)


def _costs(guarantee: Guarantee, results: Results, units: Units) -> tuple[UnitCosts, tuple[float, float]]:
    """The costs that a statement is about, and the least and the most that a unit can cost."""
    name = guarantee.about(results.committee.cost)
    costs = results.costs[name]
    if costs.possible:
        return costs, (costs.possible[0], costs.possible[-1])
    return costs, (0.0, units.most[results.committee.stages, name])


_HYPOTHESES: dict[str, Callable[[Guarantee, Results, Units], Hypothesis]] = {
    "accuracy": _accuracy,
    "agreement": _agreement,
    "precision": _precision,
    "recall": _recall,
    "average": _average,
    "exceeding": _exceeding,
}
