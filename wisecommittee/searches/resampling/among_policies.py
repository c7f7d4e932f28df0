"""One kind of policy chosen among several, by what each is expected to give on new units.

On the units that choose, the policy with the most parameters looks best. So kinds are compared by cross-fitted
outcomes, where no committee is measured on a unit that had a part in its choice. The simplest kind is taken that is not
worse than the best by more than one standard error of their paired difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.resampling.cross_fit import CrossFit, Fold
from wisecommittee.searches.resampling.evidence import Chosen
from wisecommittee.statistics.clusters import error_of_mean

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of policy: its searches without each fold, and what its rule chooses.

    gain : float64 [N], what each unit contributes to what is wanted, by cross-fitted outcomes: quality, or minus the
    cost where a quality is to be met.
    """

    kind: str
    crossfit: CrossFit
    chosen: Chosen
    gain: Numbers


@dataclass(frozen=True, slots=True)
class OfFold:
    """A rule of choice that has been applied to every fold. of_fold : {id of the fold: Committee}."""

    of_fold: Mapping[int, Committee]

    def __call__(self, fold: Fold) -> Committee:
        return self.of_fold[id(fold)]


def simplest_of_best(
    gains: Sequence[Numbers], units: NDArray[np.int64] | None = None, groups: NDArray[np.int64] | None = None
) -> int:
    """The first of several whose mean gain is within one standard error of the best.

    Parameters
    ----------
    gains : sequence of float64 [N]
        The simplest first.
    units : int64 [n]
        The units that count; by default all.
    groups : int64 [N], optional
        The group of each unit, where units of a group are not independent.

    Returns
    -------
    int
    """
    rows = [gain if units is None else gain[units] for gain in gains]
    best = max(rows, key=lambda row: float(row.mean()))
    for number, row in enumerate(rows):
        apart = best - row
        error = float(apart.std()) / math.sqrt(len(apart))
        if groups is not None:
            here = groups if units is None else groups[units]
            error = error_of_mean(apart, np.unique(here, return_inverse=True)[1])
        if float(apart.mean()) <= error:
            return number
    raise AssertionError("the best is not worse than itself")


def choose_kind(candidates: Sequence[Candidate]) -> tuple[int, Chosen]:
    """The kind that is chosen, and the choice as a rule on the folds of the first candidate.

    The kind of a fold is chosen by the outcomes on the other folds only, so that a unit has no part in it.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of the same folds, the simplest kind first.
    """
    gains, groups = [candidate.gain for candidate in candidates], candidates[0].crossfit.groups
    number, of_fold = simplest_of_best(gains, None, groups), {}
    for repeat, folds in enumerate(candidates[0].crossfit.repeats):
        for place, fold in enumerate(folds):
            chosen = candidates[simplest_of_best(gains, fold.trained, groups)]
            of_fold[id(fold)] = chosen.chosen.rule(chosen.crossfit.repeats[repeat][place])
    return number, Chosen(candidates[number].chosen.committee, OfFold(of_fold))
