"""A chosen committee beside a reference model on the same units, as both are expected to be on new units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.resampling.expected import WIDER, Interval, by_group, widened
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.searches.resampling.speedup import Speedup
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.paired import score_interval
from wisecommittee.tasks import Task

TWO_SIDED, ONE_SIDED = 0.95, 0.90  # levels of two-sided intervals; the ends of the second are one-sided limits at 95 %


@dataclass(frozen=True, slots=True)
class Difference:
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
class Comparison:
    """A committee beside its reference, as both are expected to be on new units.

    Parameters
    ----------
    reference : str
        The model, or the members of the ensemble joined by ' + '.
    difference : Difference
        Of the committee and the reference.
    speedup : Speedup or None
        The reference's cost over the committee's; None where the committee costs nothing.
    units : int
    """

    reference: str
    difference: Difference
    speedup: Speedup | None
    units: int

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
        }


def paired_difference(
    task: Task,
    committee: Sequence[Outcomes],
    reference: Sequence[Outcomes],
    together: NDArray[np.int64] | None = None,
) -> Difference:
    """The difference of two rules' cross-fitted outcomes, for each division into folds.

    Score intervals where units are right or wrong (Tango 1998), else bootstrap; together : as of CrossFit.
    """
    pairs = list(zip(committee, reference, strict=True))
    gaps = np.mean([task.worth(a.statistics) - task.worth(b.statistics) for a, b in pairs], axis=0)
    mean, units = float(gaps.mean()), len(gaps)
    if task.counts:
        only, other_only = (_units(pairs, task, sign) for sign in (1, -1))
        independent = units / WIDER**2
        interval, limits = (score_interval(only, other_only, independent, level) for level in (TWO_SIDED, ONE_SIDED))
        error = np.sqrt(max(only + other_only - independent * mean**2, 1.0)) / independent
    else:
        gaps = gaps if together is None else by_group(gaps, together)
        around = (mean_interval(gaps, level, (-1.0, 1.0)) for level in (TWO_SIDED, ONE_SIDED))
        interval, limits = (widened(mean, each, (-1.0, 1.0)) for each in around)
        error = WIDER * max(float(gaps.std()), 1 / len(gaps)) / np.sqrt(len(gaps))
    p = 2 * NormalDist().cdf(-abs(mean) / float(error))
    return Difference(mean, interval, limits, p, float(error) * float(np.sqrt(units)))


def _units(pairs: Sequence[tuple[Outcomes, Outcomes]], task: Task, sign: int) -> float:
    """The number of independent units that are worth as much as those on which the first alone is right (sign 1), or
    the second (-1)."""
    apart = sum(float(np.sum(sign * (task.worth(a.statistics) - task.worth(b.statistics)) > 0)) for a, b in pairs)
    return apart / (len(pairs) * WIDER**2)
