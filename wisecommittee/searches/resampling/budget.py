"""A budget that holds on new units for policies that are fitted to the units that choose.

Such a policy costs less on the units that it is fitted to than on others, by up to some percent. So it is chosen within
the largest budget, at most the one that is asked for, at which the searches without each fold cost no more than asked
on the units of their folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.resampling.cross_fit import CrossFit, Fold

STEP, STEPS = 0.005, 60  # shares of the budget that are tried: 1, 0.995, .., 0.705

WithinBudget = Callable[[float, Frontier], Committee]  # the choice from a frontier at a budget


@dataclass(frozen=True, slots=True)
class Budgeted:
    """The choice within a budget that is expected to hold.

    The budget of a fold is found from the costs on the other folds only, so that a unit has no part in it.

    Parameters
    ----------
    limit : float
        The budget on the units that choose, from all folds.
    of_fold : {id of the fold: Committee}
    """

    limit: float
    of_fold: Mapping[int, Committee]

    def __call__(self, fold: Fold) -> Committee:
        return self.of_fold[id(fold)]

    @classmethod
    def of(cls, crossfit: CrossFit, asked: float, choose: WithinBudget) -> Budgeted:
        """
        Parameters
        ----------
        asked : float
            The budget for new units, in units of the cost.
        choose : callable
            (budget, frontier) -> committee.
        """
        limits = [asked * (1 - STEP * step) for step in range(STEPS)]
        most = asked / float(crossfit.pool.cost.unit)
        totals = [[_totals(fold, limits, choose) for fold in folds] for folds in crossfit.repeats]
        mean = np.mean([np.sum(each, axis=0) for each in totals], axis=0) / crossfit.pool.units
        of_fold = {}
        for folds, each in zip(crossfit.repeats, totals, strict=True):
            for number, fold in enumerate(folds):
                others = (np.sum(each, axis=0) - each[number]) / len(fold.trained)
                of_fold[id(fold)] = choose(limits[_first(others, most)], fold.frontier)
        return cls(limits[_first(mean, most)], of_fold)


def _first(costs: NDArray[np.float64], most: float) -> int:
    """The place of the largest budget whose committees cost at most this; the smallest where none does."""
    within = np.flatnonzero(costs <= most)
    return int(within[0]) if len(within) else len(costs) - 1


def _totals(fold: Fold, limits: list[float], choose: WithinBudget) -> NDArray[np.float64]:
    """float64 [n]: what the units of the fold cost together, of the committee within each budget."""
    chosen = [choose(limit, fold.frontier) for limit in limits]
    distinct = {id(committee): committee for committee in chosen}
    outcomes = fold.outcomes(list(distinct.values()))
    total = {key: float(each.cost.sum()) for key, each in zip(distinct, outcomes, strict=True)}
    return np.array([total[id(committee)] for committee in chosen])
