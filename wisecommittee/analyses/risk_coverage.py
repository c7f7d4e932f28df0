"""Errors among the units that a committee answers, for every share of them: the risk-coverage curve and its area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.analyses.cascades import cascade_pool
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import has_certainty
from wisecommittee.errors import UsageError
from wisecommittee.searches.answered import Answered
from wisecommittee.searches.certainty import answering, judged
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.folds import make_folds
from wisecommittee.searches.resampling.surest import SurestFirst
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.pool_confidence import require_confidence

FOLDS = 10
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RiskCoverageCurve:
    """The share of wrong answers while the least sure units get no answer, one after the other.

    Parameters
    ----------
    committee : Committee
    split : str
    risk : float64 [N]
        Share of wrong answers if the k surest units are answered, k = 1..N; units that are equally sure count with
        their mean.
    optimal : float64 [N]
        The same for the order that has all right answers first.
    point : Answered or None
        The figures of a committee that abstains by its own thresholds.
    """

    committee: Committee
    split: str
    risk: Numbers
    optimal: Numbers
    point: Answered | None = None

    def __len__(self) -> int:
        return len(self.risk)

    @property
    def accuracy(self) -> float:
        """Accuracy if every unit is answered."""
        return 1 - float(self.risk[-1])

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve: the mean risk over the N shares (Geifman and El-Yaniv 2017; Jaeger et al.
        2023, Eq. 5)."""
        return float(self.risk.mean())

    @property
    def excess(self) -> float:
        """AURC less the least that an order of the same answers can have (Geifman et al. 2019, E-AURC)."""
        return self.aurc - float(self.optimal.mean())

    def within(self, share: float) -> float:
        """Accuracy of the surest share of the units, in (0, 1]."""
        return 1 - float(self.risk[max(0, round(share * len(self)) - 1)])


def risks(uncertainty: Numbers, right: Numbers) -> Numbers:
    """float64 [N]: the mean of 1 - right over the k units of least uncertainty [N], k = 1..N.

    Where k parts units of equal uncertainty, it is the mean over all their orders.
    """
    values, at, count = np.unique(uncertainty, return_inverse=True, return_counts=True)
    wrong = np.bincount(at, weights=1 - right, minlength=len(values))
    answered = np.arange(1, len(right) + 1)
    summed = np.interp(answered, np.r_[0, np.cumsum(count)], np.r_[0, np.cumsum(wrong)])
    return np.asarray(summed / answered)


def risk_coverage(study: Study) -> list[RiskCoverageCurve]:
    """The curves of the committees that the user named, else of the cheapest and the best model and of the most
    accurate committee; on the split that chooses, and on the one that reports where it has all members.

    Which of two units is surer is found on the split that chooses, without the fold of the unit where it is shown on
    the same split. A committee of one stage needs no such order: its confidence is one.
    """
    curves = []
    for committee in _shown(study):
        pool = cascade_pool(study, committee, study.split)
        curves.append(_curve(pool, committee))
        if study.reports != study.split and _has(study, committee):
            curves.append(_curve(cascade_pool(study, committee, study.reports), committee, pool))
    return curves


def _shown(study: Study) -> list[Committee]:
    if study.committees:
        return list(study.committees)
    frontier = study.frontier()
    cheapest = min(frontier.singles, key=frontier.x)
    every = [cheapest.committee, frontier.best_single().committee, frontier.best().committee]
    return list({committee.label(): committee for committee in every}.values())


def _has(study: Study, committee: Committee) -> bool:
    store, split = study.pool().store, study.reports
    return store.has_split(split) and set(committee.models) <= set(store.models(split))


def _curve(pool: Pool, committee: Committee, ordering: Pool | None = None) -> RiskCoverageCurve:
    """The curve of a committee on a pool; ordering : the pool that says which units are surer, else folds of this
    one."""
    if pool.task.width > 1:
        raise UsageError(
            f"risk and coverage need units that are right or wrong by themselves; {pool.task.name} is not made of such"
        )
    whole = answering(committee)
    if lacking := [part.policy for part in whole.parts if not has_certainty(part.policy, pool.confidence_name)]:
        if lacking[0].combines:
            require_confidence(pool.confidence, pool.cards, "risk-coverage curves")
        raise UsageError(f"{committee.label()}: the policy {lacking[0].kind!r} has no confidence to order units by")
    sure, right = judged(pool, whole)
    if ordering is not None:
        uncertainty = SurestFirst.of(*judged(ordering, whole)).shares(sure)
    elif sum(len(part.stages) for part in whole.parts) == 1:
        uncertainty = -sure.score.astype(np.float64)
    else:
        uncertainty = np.empty(pool.units)
        folds = make_folds(pool.labels, min(FOLDS, pool.units), 0)
        for fold in np.unique(folds):
            others, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            order = SurestFirst.of(sure.of_units(others), right[others])
            uncertainty[held] = order.shares(sure.of_units(held))
    point = evaluate_in(pool, [committee])[0].on_answered if committee.abstains else None
    return RiskCoverageCurve(committee, pool.split, risks(uncertainty, right), risks(-right, right), point)
