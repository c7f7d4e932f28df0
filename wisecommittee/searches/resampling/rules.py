"""Rules of choice: how a target picks a committee from a search of all units, and from the search without a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.resampling.cross_fit import CrossFit, Fold
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.tasks import Task


@dataclass(frozen=True, slots=True)
class Within:
    """The best committee that costs no more than a limit; the cheapest where none does."""

    limit: float

    def of(self, frontier: Frontier) -> Evaluation:
        fitting = [e for e in frontier if frontier.x(e) <= self.limit]
        return fitting[-1] if fitting else frontier.evaluations[0]

    def __call__(self, fold: Fold) -> Committee:
        return self.of(fold.frontier).committee


@dataclass(frozen=True, slots=True)
class Reaching:
    """The cheapest committee of at least this quality on the units that choose; the best where none has it.

    quality : in [0, 1], or the outcomes on all units of a committee to match, which count on the units that choose.
    """

    quality: float | Outcomes
    task: Task

    def __call__(self, fold: Fold) -> Committee:
        wanted = self.quality
        if isinstance(wanted, Outcomes):
            statistics = wanted.statistics[fold.trained]
            wanted = float(self.task.quality(statistics.sum(axis=0, dtype=np.int64), len(statistics)))
        try:
            return fold.frontier.matching(wanted).committee
        except InfeasibleError:
            return fold.frontier.best().committee


@dataclass(frozen=True, slots=True)
class Always:
    """The same committee, whatever the units."""

    committee: Committee

    def __call__(self, fold: Fold) -> Committee:
        return self.committee


def best_of_all(fold: Fold) -> Committee:
    """The most accurate committee on the units that choose."""
    return fold.frontier.best().committee


def best_single(fold: Fold) -> Committee:
    """The best single model of the units that choose."""
    return fold.frontier.best_single().committee


def expected_qualities(crossfit: CrossFit, limits: Sequence[float]) -> NDArray[np.float64]:
    """float64 [n]: the cross-fitted quality of the best committee within each of n rising limits of the cost, made to
    rise with the limit (isotonic regression)."""
    from scipy.optimize import isotonic_regression

    task, qualities = crossfit.pool.task, []
    for folds in crossfit.repeats:
        totals = sum(_totals(fold, limits) for fold in folds)
        qualities.append(task.quality(np.asarray(totals), crossfit.pool.units))
    return np.asarray(isotonic_regression(np.mean(qualities, axis=0)).x)


def _totals(fold: Fold, limits: Sequence[float]) -> NDArray[np.int64]:
    """int64 [n, S]: totals of the best committee within each limit over the units of the fold."""
    chosen = [Within(limit).of(fold.frontier) for limit in limits]
    distinct = {id(e): e.committee for e in chosen}
    outcomes = dict(zip(distinct, fold.outcomes(list(distinct.values())), strict=True))
    return np.stack([outcomes[id(e)].statistics.sum(axis=0, dtype=np.int64) for e in chosen])
