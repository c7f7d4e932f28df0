"""Rules of choice: how a target picks a committee from a search of all units, and from the search without a fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.hull import mixed
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
class Mixed:
    """The best mixture of two committees that costs no more than a limit in expectation.

    seed : of the draw.
    """

    limit: float
    seed: int

    def of(self, frontier: Frontier) -> Committee:
        return mixed(frontier.evaluations, self.limit, self.seed)

    def __call__(self, fold: Fold) -> Committee:
        return self.of(fold.frontier)


@dataclass(frozen=True, slots=True)
class Reaching:
    """The cheapest committee of at least this quality on the units that choose; the best where none has it.

    quality : in [0, 1], or the outcomes on all units of a committee to match, which count on the units that choose.
    """

    quality: float | Outcomes
    task: Task

    def __call__(self, fold: Fold) -> Committee:
        try:
            return fold.frontier.matching(_quality_on(self.quality, self.task, fold.trained)).committee
        except InfeasibleError:
            return fold.frontier.best().committee


def best_of_all(fold: Fold) -> Committee:
    """The most accurate committee on the units that choose."""
    return fold.frontier.best().committee


@dataclass(frozen=True, slots=True)
class Crossing:
    """The cheapest budget whose best committee is expected to reach a quality, and that committee.

    The budget of a fold is found from the outcomes of the other folds only, so that a unit has no part in it. Where no
    budget reaches the quality in these, it is the budget of all folds.

    Parameters
    ----------
    limit : float or None
        From all folds; None if no budget reaches the quality.
    best : float
        The largest expected quality of any budget.
    of_fold : {id of the fold: Committee}
    """

    limit: float | None
    best: float
    of_fold: Mapping[int, Committee]

    def __call__(self, fold: Fold) -> Committee:
        return self.of_fold[id(fold)]

    @classmethod
    def of(cls, crossfit: CrossFit, limits: Sequence[float], wanted: float | Outcomes) -> Crossing:
        """
        Parameters
        ----------
        limits : sequence of float
            Rising budgets.
        wanted : float or Outcomes
            The quality, or the outcomes on all units of a committee to match.
        """
        totals = [np.stack([_totals(fold, limits) for fold in folds]) for folds in crossfit.repeats]
        mean = np.mean([_qualities(crossfit, each.sum(axis=0), crossfit.pool.units) for each in totals], axis=0)
        everyone = np.arange(crossfit.pool.units)
        of_all = _first(limits, mean, _quality_on(wanted, crossfit.pool.task, everyone))
        of_fold = {}
        for folds, each in zip(crossfit.repeats, totals, strict=True):
            for number, fold in enumerate(folds):
                others = _qualities(crossfit, each.sum(axis=0) - each[number], len(fold.trained))
                limit = _first(limits, others, _quality_on(wanted, crossfit.pool.task, fold.trained))
                if limit is None:
                    limit = limits[-1] if of_all is None else of_all
                of_fold[id(fold)] = Within(limit)(fold)
        return cls(of_all, float(mean.max()), of_fold)


@dataclass(frozen=True, slots=True)
class Always:
    """The same committee, whatever the units."""

    committee: Committee

    def __call__(self, fold: Fold) -> Committee:
        return self.committee


def _qualities(crossfit: CrossFit, totals: NDArray[np.int64], units: int) -> NDArray[np.float64]:
    """float64 [n]: the quality of each budget, made to rise with the budget (isotonic regression)."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(crossfit.pool.task.quality(totals, units)).x)


def _first(limits: Sequence[float], qualities: NDArray[np.float64], wanted: float) -> float | None:
    meeting = np.flatnonzero(qualities >= wanted - 1e-12)
    return limits[meeting[0]] if len(meeting) else None


def _quality_on(wanted: float | Outcomes, task: Task, units: NDArray[np.int64]) -> float:
    """The quality that is wanted, of these units."""
    if isinstance(wanted, float):
        return wanted
    return float(task.quality(wanted.statistics[units].sum(axis=0, dtype=np.int64), len(units)))


def _totals(fold: Fold, limits: Sequence[float]) -> NDArray[np.int64]:
    """int64 [n, S]: totals of the best committee within each limit over the units of the fold."""
    chosen = [Within(limit).of(fold.frontier) for limit in limits]
    distinct = {id(e): e.committee for e in chosen}
    outcomes = dict(zip(distinct, fold.outcomes(list(distinct.values())), strict=True))
    return np.stack([outcomes[id(e)].statistics.sum(axis=0, dtype=np.int64) for e in chosen])
