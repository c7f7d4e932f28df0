"""What units show of a statement about a committee: a p-value, and the smallest margin that they would support."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.guarantees.results import Results, UnitCosts
from wisecommittee.searches.guarantees.statement import Guarantee
from wisecommittee.statistics.betting import mean_lower_limit, p_mean_at_most
from wisecommittee.statistics.binomial import lower_limit, p_at_most
from wisecommittee.statistics.noninferiority import difference_lower_limit, p_inferior
from wisecommittee.statistics.paired import PairedCounts

Stages = tuple[tuple[str, ...], ...]


class Evidence(Protocol):
    """method : name of the test; n : number of units that it counts."""

    @property
    def method(self) -> str: ...
    @property
    def n(self) -> int: ...
    def p_value(self, delta: float) -> float:
        """Valid p-value of the hypothesis that the statement is false."""

    def smallest_margin(self, delta: float) -> float:
        """The least margin (Guarantee.at_margin) with which the statement is shown at delta."""


@dataclass(frozen=True, slots=True)
class Certain:
    """The statement is true whatever the units: the committee is the model that it is compared with, or cannot cost
    more.

    margin : the least with which it is true.
    """

    n: int
    margin: float
    method: str = "true of any units"

    def p_value(self, delta: float) -> float:
        return 0.0

    def smallest_margin(self, delta: float) -> float:
        return self.margin


@dataclass(frozen=True, slots=True)
class Share:
    """A share of units, at least `number`: exact binomial test."""

    successes: int
    n: int
    number: float
    scale: float = 1.0  # of the margin
    method: str = "exact binomial"

    def p_value(self, delta: float) -> float:
        return p_at_most(self.successes, self.n, self.number)

    def smallest_margin(self, delta: float) -> float:
        return self.scale * (self.number - lower_limit(self.successes, self.n, 1 - delta))


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of values in [0, 1], in an order that does not depend on them, at least `number`: betting."""

    values: NDArray[np.float64]
    number: float
    scale: float = 1.0  # of the margin
    margin: float = 0.0  # of the statement
    method: str = "betting"

    @property
    def n(self) -> int:
        return len(self.values)

    def p_value(self, delta: float) -> float:
        return p_mean_at_most(self.values, self.number, delta) if self.number < 1 else 1.0

    def smallest_margin(self, delta: float) -> float:
        return self.margin + self.scale * (self.number - mean_lower_limit(self.values, 1 - delta))


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of a committee minus that of a model on the same units, at least -margin: exact unconditional test."""

    counts: PairedCounts
    margin: float
    method: str = "exact non-inferiority"

    @property
    def n(self) -> int:
        return self.counts.units

    def p_value(self, delta: float) -> float:
        return p_inferior(self.counts, self.margin)

    def smallest_margin(self, delta: float) -> float:
        return -difference_lower_limit(self.counts, 1 - delta)


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


def evidence(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    """The evidence of units for a statement about a committee, from its results on them."""
    return _EVIDENCE[guarantee.figure](guarantee, results, units)


def _accuracy(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    if guarantee.subject is None:
        if units.counts:
            return Share(int(results.worth.sum()), len(results.worth), guarantee.number)
        return Mean(results.worth[units.order], guarantee.number)
    reference, margin = units.references[guarantee.subject], -guarantee.number
    if results.committee.stages == reference.committee.stages and margin >= 0:
        return Certain(len(results.worth), 0.0)
    if units.counts:
        return Difference(PairedCounts.of(results.worth > 0, reference.worth > 0), margin)
    differences = (results.worth - reference.worth)[units.order]
    return Mean((differences + 1) / 2, (1 - margin) / 2, scale=2.0, margin=margin)


def _agreement(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    reference = units.references[str(guarantee.subject)]
    if results.committee.stages == reference.committee.stages:
        return Certain(len(results.worth), guarantee.number - 1)
    return Share(int((results.prediction == reference.prediction).sum()), len(results.worth), guarantee.number)


def _precision(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    """Over the units that are predicted as the class: given which they are, each is right independently."""
    positive = units.classes[str(guarantee.subject)]
    predicted = results.prediction == positive
    return Share(int((units.labels[predicted] == positive).sum()), int(predicted.sum()), guarantee.number)


def _recall(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    """Over the units whose label is the class: given which they are, each is found independently."""
    positive = units.classes[str(guarantee.subject)]
    labelled = units.labels == positive
    return Share(int((results.prediction[labelled] == positive).sum()), int(labelled.sum()), guarantee.number)


def _average(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    costs, (least, most) = _costs(guarantee, results, units)
    n, saved = len(costs.values), most - costs.values
    if most <= guarantee.number and (saved >= 0).all():
        return Certain(n, most - guarantee.number)
    spread = (most - least) or 1.0
    number = (most - guarantee.number) / spread  # the least mean share of the spread that is saved
    if (saved < 0).any():  # a unit costs more than was taken for the most
        number = 2.0
    if len(costs.possible) == 2:
        return Share(int((saved > 0).sum()), n, min(number, 1.0), scale=spread)
    return Mean(np.clip(saved / spread, 0, 1)[units.order], number, scale=spread)


def _exceeding(guarantee: Guarantee, results: Results, units: Units) -> Evidence:
    costs, (_, most) = _costs(guarantee, results, units)
    assert guarantee.limit is not None
    within = int((costs.values <= guarantee.limit).sum())
    if costs.possible and most <= guarantee.limit:
        return Certain(len(costs.values), -guarantee.number)
    return Share(within, len(costs.values), 1 - guarantee.number)


def _costs(guarantee: Guarantee, results: Results, units: Units) -> tuple[UnitCosts, tuple[float, float]]:
    """The costs that a statement is about, and the least and the most that a unit can cost."""
    name = cost_named(guarantee, results.committee.cost)
    costs = results.costs[name]
    if costs.possible:
        return costs, (costs.possible[0], costs.possible[-1])
    return costs, (0.0, units.most[results.committee.stages, name])


def cost_named(guarantee: Guarantee, searched: str) -> str:
    """The name of the cost that a statement is about; 'cost' stands for the cost that is searched."""
    return searched if guarantee.subject == "cost" else str(guarantee.subject)


_EVIDENCE: dict[str, Callable[[Guarantee, Results, Units], Evidence]] = {
    "accuracy": _accuracy,
    "agreement": _agreement,
    "precision": _precision,
    "recall": _recall,
    "average": _average,
    "exceeding": _exceeding,
}
