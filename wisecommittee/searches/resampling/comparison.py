"""A chosen committee beside a reference model on the same units, as both are expected to be on new units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from wisecommittee.searches.expected import Interval
from wisecommittee.searches.resampling.fitted import Fitted, interval_of_mean, widened
from wisecommittee.searches.resampling.on_test import DifferenceOnTest
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.searches.resampling.speedup import Speedup
from wisecommittee.statistics.best_of_many import flattery
from wisecommittee.statistics.paired import score_interval

MOVED = 2.5  # weight of the units on which the choices of folds differ (Fitted.wider)
TWO_SIDED, ONE_SIDED = 0.95, 0.90  # levels of two-sided intervals; the ends of the second are one-sided limits at 95 %


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The difference of two committees on the same units.

    Parameters
    ----------
    mean, interval : float, (float, float)
        Quality of the first less that of the second, and its 95 % interval.
    limits : (float, float)
        One-sided 95 % limits.
    p : float
        Of the hypothesis that both are equally good, two-sided.
    spread : float
        Standard deviation of a unit's difference.
    """

    mean: float
    interval: Interval
    limits: Interval
    p: float
    spread: float


@dataclass(frozen=True, slots=True)
class ReferenceComparison:
    """A committee beside its reference, as both are expected to be on new units.

    Parameters
    ----------
    reference : str
        The model, or the members of the ensemble joined by ' + '.
    difference : PairedDifference
        Of the committee and the reference.
    speedup : Speedup or None
        The reference's cost over the committee's; None where the committee costs nothing.
    units : int
    same : bool
        Whether the committee is the reference itself.
    test : DifferenceOnTest or None
        Of both on the test split; None where there is none, or it lacks one of their members.
    measured : {name: float}
        The reference's average over the committee's, for each measured time on the cards of all members besides the
        cost of the search; a model is charged what it takes by itself.
    labels_from : str or None
        The model that quality is agreement with; None: quality is by labels.
    """

    reference: str
    difference: PairedDifference
    speedup: Speedup | None
    units: int
    same: bool = False
    test: DifferenceOnTest | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    labels_from: str | None = None

    def to_json(self, margin: float) -> dict[str, Any]:
        cheaper = self.speedup
        return {
            "reference": self.reference,
            "difference": self.difference.mean,
            "interval": list(self.difference.interval),
            "p": self.difference.p,
            "speedup": None if cheaper is None else cheaper.ratio,
            "speedup_interval": None if cheaper is None else list(cheaper.interval),
            "margin": margin,
            "measured": dict(self.measured),
            "test": None if self.test is None else self.test.to_json(),
        }


def paired_difference(fitted: Fitted, reference: Outcomes) -> PairedDifference:
    """The difference of a rule's cross-fitted outcomes and a fixed model.

    Score intervals where units are right or wrong (Tango 1998), else bootstrap.
    """
    task, units = fitted.task, len(fitted.worth)
    other = task.worth(reference.statistics)
    gaps = fitted.worth - other
    mean, wider = float(gaps.mean()), fitted.wider(gaps, MOVED)
    if task.counts:
        shrink = wider**2 * fitted.sharing(gaps)
        independent = units / shrink
        apart = [np.mean([np.sum(sign * (task.worth(each.statistics) - other) > 0) for each in fitted.outcomes])
                 for sign in (1, -1)]  # fmt: skip
        only, other_only = (float(number) / shrink for number in apart)
        interval, limits = (score_interval(only, other_only, independent, level) for level in (TWO_SIDED, ONE_SIDED))
        error = math.sqrt(max(only + other_only - independent * mean**2, 1.0)) / independent
    else:
        values = fitted.observations(gaps)
        around = (interval_of_mean(task, values, level, (-1.0, 1.0)) for level in (TWO_SIDED, ONE_SIDED))
        interval, limits = (widened(mean, each, wider, (-1.0, 1.0)) for each in around)
        error = wider * max(float(values.std()), 1 / len(values)) / math.sqrt(len(values))
    return _difference(mean, interval, limits, error, units)


def difference_of_rules(first: Fitted, second: Fitted) -> PairedDifference:
    """The difference of the cross-fitted outcomes of two rules of choice, over the same folds."""
    wider = max(each.wider(first.worth - second.worth, MOVED) for each in (first, second))
    gaps = first.observations(first.worth - second.worth)
    mean, half = float(gaps.mean()), wider * max(float(gaps.std()), 1 / len(gaps)) / math.sqrt(len(gaps))
    quantiles = (NormalDist().inv_cdf((1 + level) / 2) for level in (TWO_SIDED, ONE_SIDED))
    interval, limits = ((mean - z * half, mean + z * half) for z in quantiles)
    return _difference(mean, interval, limits, half, len(first.worth))


def difference_from_best(fitted: Fitted, best: Outcomes, models: Sequence[Outcomes]) -> PairedDifference:
    """The difference of a rule's cross-fitted outcomes and the best of several models, freed of what flatters the best.

    Re-choosing the best in each fold would be free of that too, but where models are close it picks in each fold the
    one that is worse there: its errors are half as large again. The interval covers that of a fixed model as well.
    """
    fixed, units = paired_difference(fitted, best), len(fitted.worth)
    rows = [fitted.observations(row) for row in (fitted.worth, *(fitted.task.worth(m.statistics) for m in models))]
    chance = flattery(rows[0], np.stack(rows[1:]))
    mean, wider = fixed.mean + chance.mean, fitted.wider(fitted.worth - fitted.task.worth(best.statistics), MOVED)
    interval, limits = (
        _hull(chance.interval(mean, level, wider), (ends[0] + chance.mean, ends[1] + chance.mean))
        for level, ends in ((TWO_SIDED, fixed.interval), (ONE_SIDED, fixed.limits))
    )
    error = max(wider * float(chance.errors.std()), fixed.spread / math.sqrt(units))
    return _difference(mean, interval, limits, error, units)


def difference_from_named_best(fitted: Fitted, best: Outcomes, models: Sequence[Outcomes]) -> PairedDifference:
    """The difference of a rule's cross-fitted outcomes and a model that was named and is the best of several.

    Whether it was named for its figures is not known: the interval covers the difference from a model that was named
    before, and from one that was named because it is the best.
    """
    fixed, chosen = paired_difference(fitted, best), difference_from_best(fitted, best, models)
    return replace(
        fixed, interval=_hull(fixed.interval, chosen.interval), limits=_hull(fixed.limits, chosen.limits)
    )  # fmt: skip


NO_DIFFERENCE = PairedDifference(0.0, (0.0, 0.0), (0.0, 0.0), 1.0, 0.0)  # from itself


def _difference(mean: float, interval: Interval, limits: Interval, error: float, units: int) -> PairedDifference:
    p = 2 * NormalDist().cdf(-abs(mean) / error)
    inside, one_sided = ((max(low, -1.0), min(high, 1.0)) for low, high in (interval, limits))
    return PairedDifference(mean, inside, one_sided, p, error * math.sqrt(units))


def _hull(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])
