"""Cross-fitted outcomes of a rule beside the committee that it chooses from all units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.expected import Interval
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.clusters import effective_units, group_sums, group_values
from wisecommittee.tasks import Task

LEAST_UNITS = 1e-3  # that stand for none: a single group says nothing of others
LEAST = 1.05  # factor of errors; also where all folds choose the committee itself


@dataclass(frozen=True, slots=True)
class Fitted:
    """What each unit contributes to the quality.

    Parameters
    ----------
    task : Task
    outcomes : of each division into folds
        A unit's are those of the committee that is chosen without its fold.
    worth : float64 [N]
        From these outcomes, on average over the divisions.
    chosen : float64 [N]
        From the committee of all units.
    together : int64 [N] or None
        As of CrossFit.
    """

    task: Task
    outcomes: Sequence[Outcomes]
    worth: NDArray[np.float64]
    chosen: NDArray[np.float64]
    together: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls, task: Task, outcomes: Sequence[Outcomes], chosen: Outcomes, together: NDArray[np.int64] | None = None
    ) -> Fitted:
        worth = np.asarray(np.mean([task.worth(each.statistics) for each in outcomes], axis=0), np.float64)
        return cls(task, outcomes, worth, task.worth(chosen.statistics), together)

    @property
    def quality(self) -> float:
        """The mean quality of the divisions."""
        return float(np.mean([quality_of(self.task, each) for each in self.outcomes]))

    def observations(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """One value for each independent observation, from one for each unit: an image where units are its cells, a
        group where units come in groups."""
        if self.groups is not None:
            return group_values(values, self.groups)
        return values if self.together is None else by_group(values, self.together)

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """int64 [N], the group of each unit; None where units are independent, or cells of images."""
        return self.together if self.task.width == 1 else None

    def sharing(self, values: NDArray[np.float64]) -> float:
        """The number of units over that of the independent ones with a mean of values [N] as sure: 1 without
        groups."""
        return 1.0 if self.groups is None else len(values) / max(effective_units(values, self.groups), LEAST_UNITS)

    def wider(self, values: NDArray[np.float64], weight: float) -> float:
        """By what factor the error of the mean of values [N] exceeds that of independent ones.

        Where folds choose other committees than all units do, which of the close ones they choose depends on the units
        that they leave out; the variance of that is a multiple of the units on which the choices differ (the weight is
        found by simulation: docs/honesty.md).
        """
        centred, apart = values - values.mean(), self.worth - self.chosen
        if self.groups is not None:
            centred, apart = (group_sums(each, self.groups) for each in (centred, apart))
        spread, moved = float((centred**2).sum()), float((apart**2).sum())
        return max(LEAST, math.sqrt(1 + weight * moved / spread)) if spread > 0 else LEAST


def by_group(values: NDArray[np.float64], together: NDArray[np.int64]) -> NDArray[np.float64]:
    """A value for each group, whose mean over groups is the mean of all values."""
    groups = int(together.max()) + 1
    return np.asarray(np.bincount(together, values) * (groups / len(values)), np.float64)


def interval_of_mean(task: Task, values: NDArray[np.float64], level: float, bounds: Interval) -> Interval:
    """Interval of the mean of independent observations, within the bounds; where quality is linearised it is
    Student's."""
    if task.width == 1:
        return interval_within(values, bounds, level)
    from scipy.stats import t

    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def interval_within(values: NDArray[np.float64], bounds: Interval, level: float = 0.95) -> Interval:
    """Interval of the mean of independent observations, within the bounds of single units, beyond which the values of
    groups may lie."""
    covering = min(bounds[0], float(values.min())), max(bounds[1], float(values.max()))
    low, high = mean_interval(values, level, covering)
    return max(low, bounds[0]), min(high, bounds[1])


def widened(centre: float, interval: Interval, wider: float, bounds: Interval) -> Interval:
    """An interval of independent outcomes as one of cross-fitted outcomes, whose errors are larger by a factor."""
    low, high = (centre + wider * (end - centre) for end in interval)
    return max(low, bounds[0]), min(high, bounds[1])


def quality_of(task: Task, outcomes: Outcomes) -> float:
    """The quality of outcomes, in [0, 1]."""
    return float(task.quality(outcomes.statistics.sum(axis=0, dtype=np.int64), len(outcomes.cost)))
