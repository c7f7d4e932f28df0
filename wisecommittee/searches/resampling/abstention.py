"""Which units a chosen committee gives no answer: those where that costs less, or as many as it takes for the others to
be right often enough on new units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import has_certainty
from wisecommittee.errors import InfeasibleError, UsageError, option
from wisecommittee.searches.answered import Answered
from wisecommittee.searches.certainty import Certainty, abstaining, judged
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.resampling.cross_fit import CrossFit, Fold
from wisecommittee.searches.resampling.estimates import MOVED, expected_figures
from wisecommittee.searches.resampling.evidence import Chosen
from wisecommittee.searches.resampling.fitted import LEAST, Fitted
from wisecommittee.searches.resampling.surest import RiskCoverage, Shares, SurestFirst
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.statistics.binomial import wilson_interval

MOST_RAISES = 50  # of the accuracy that is asked of other units, until that on a fold's units is reached
LEAST_RAISE = 1e-4


@dataclass(frozen=True, slots=True)
class Ranked:
    """Units of a committee in the order in which they are answered.

    held : Certainty of the units that the order is tried on; right : float64 [n] of these, and share : float64 [n] of
    the units that made the order, those that are answered if the unit just is.
    """

    committee: Committee
    order: SurestFirst
    held: Certainty
    right: Shares
    share: Shares

    @classmethod
    def of(cls, pool: Pool, committee: Committee, known: NDArray[np.int64], held: NDArray[np.int64]) -> Ranked:
        """known, held : int64, units of the pool that make the order, and that it is tried on."""
        sure, right = judged(pool, committee)
        order, tried = SurestFirst.of(sure.of_units(known), right[known]), sure.of_units(held)
        return cls(committee, order, tried, right[held], order.shares(tried))

    def abstaining(self, share: float) -> Committee:
        """The committee that answers this share of the units that made the order."""
        return abstaining(self.committee, self.order.least(share, _places(self.committee)))

    def answered(self, share: float) -> tuple[float, float]:
        """How many of the units that the order is tried on are answered, and how many of these rightly."""
        given = self.held.reach(self.order.least(share, _places(self.committee)))
        return float(given.sum()), float(self.right[given].sum())


@dataclass(frozen=True, slots=True)
class ByFold:
    """The committee that abstains without each fold."""

    of_fold: Mapping[int, Committee]

    def __call__(self, fold: Fold) -> Committee:
        return self.of_fold[id(fold)]


Rule = Callable[[RiskCoverage], float | None]


def require_abstention(pool: Pool, committee: Committee, selection: Selection) -> None:
    """UsageError where no unit can be said to be surer than another, or answers are neither right nor wrong."""
    name = "abstain_cost" if selection.abstain_cost is not None else "answered_accuracy"
    given = option(name, getattr(selection, name))
    if not pool.task.counts:
        raise UsageError(
            f"{given} needs answers that are right or wrong, and {pool.task.label} is a grade; leave it out, or import "
            f"answers without their grades"
        )
    if lacking := [part for part in committee.parts if not has_certainty(part.policy, pool.confidence_name)]:
        why = f"the policy {lacking[0].policy.kind!r} has none; choose another {option('policy')}"
        if lacking[0].policy.combines:
            why = "these answers are stored without one; import them with it"
        raise UsageError(f"{given} needs a confidence, and {why}")


def abstaining_on(pool: Pool, committee: Committee, selection: Selection) -> Committee:
    """The committee that abstains, from its answers to the units that chose it."""
    require_abstention(pool, committee, selection)
    units = np.arange(pool.units)
    ranked = Ranked.of(pool, committee, units, units)
    curve = RiskCoverage.of([ranked.share], [ranked.right])
    share = _rule(selection)(curve)
    if share is None:
        raise _infeasible(selection, curve, f"on {pool.split}")
    return ranked.abstaining(share)


def abstaining_across(crossfit: CrossFit, chosen: Chosen, selection: Selection) -> Chosen:
    """The committee that abstains, from the answers to each unit of the committee that is chosen without its fold.

    The share of the units that is answered is found from these answers; the thresholds are those with which the chosen
    committee answers that share. Without a fold, the share is found from the other folds only.

    Raises
    ------
    UsageError
        As of `require_abstention`.
    InfeasibleError
        No share of the answers is expected to be right often enough.
    """
    pool = crossfit.pool
    require_abstention(pool, chosen.committee, selection)
    every = np.arange(pool.units)
    ranked = {
        id(fold): Ranked.of(pool, chosen.rule(fold), fold.trained, fold.held_out)
        for folds in crossfit.repeats
        for fold in folds
    }
    curve = RiskCoverage.of(
        [each.share for each in ranked.values()], [each.right for each in ranked.values()], len(crossfit.repeats)
    )
    rule = _rule(selection)
    share = rule(curve)
    if share is None:
        raise _infeasible(selection, curve, "on new units")
    of_fold = _without_each_fold(crossfit, ranked, rule, share)
    if (wanted := selection.answered_accuracy) is not None:
        level = wanted
        for _ in range(MOST_RAISES):
            answered, right = np.sum([ranked[name].answered(each) for name, each in of_fold.items()], axis=0)
            if right >= wanted * answered - 1e-9:
                break
            level += max(wanted - right / answered, LEAST_RAISE)
            rule = _widest(level)
            share = rule(curve)
            if share is None:
                raise _infeasible(selection, curve, "on new units")
            of_fold = _without_each_fold(crossfit, ranked, rule, share)
    committees = {name: ranked[name].abstaining(each) for name, each in of_fold.items()}
    whole = Ranked.of(pool, chosen.committee, every, every)
    return Chosen(whole.abstaining(share), ByFold(committees))


def _without_each_fold(crossfit: CrossFit, ranked: Mapping[int, Ranked], rule: Rule, of_all: float) -> dict[int, float]:
    """{id of a fold: the share of answers by a rule, from the other folds}; that of all folds where they have none."""
    out = {}
    for folds in crossfit.repeats:
        for fold in folds:
            others = [ranked[id(other)] for other in folds if other is not fold]
            share = rule(RiskCoverage.of([each.share for each in others], [each.right for each in others]))
            out[id(fold)] = of_all if share is None else share
    return out


def expected_answers(crossfit: CrossFit, chosen: Chosen) -> Expected:
    """The expected figures of a committee that abstains.

    How many units it answers is read off without labels, so it is that of the units that chose it, as the cost is; the
    accuracy on the answered is cross-fitted, and the accuracy on all units is the product of both.
    """
    task, (alone,) = crossfit.pool.task, crossfit.on_all([chosen.committee])
    assert alone.answered is not None
    fitted = Fitted.of(task, crossfit.outcomes(chosen.rule), alone, crossfit.together)
    expected = expected_figures(crossfit, fitted, alone, chosen.committee)
    given = np.mean([np.asarray(each.answered, np.float64) for each in fitted.outcomes], axis=0)
    quality = float(fitted.worth.sum() / given.sum()) if given.any() else 0.0
    excess = replace(fitted, worth=fitted.worth - quality * given, chosen=fitted.chosen - quality * alone.answered)
    units, answered = len(given), float(alone.answered.sum())
    shared = [math.sqrt(fitted.sharing(values)) for values in (given, excess.worth)]
    wider = (LEAST * shared[0], excess.wider(excess.worth, MOVED) * shared[1])
    of_all = quality * answered / units
    independent = units / (fitted.wider(fitted.worth, MOVED) ** 2 * fitted.sharing(fitted.worth))
    return replace(
        expected,
        quality=of_all,
        interval=wilson_interval(of_all * independent, independent),
        optimism=expected.quality + expected.optimism - of_all,
        on_answered=Answered.of(quality * answered, answered, units, wider),
    )


def _rule(selection: Selection) -> Rule:
    if (cost := selection.abstain_cost) is not None:
        return lambda curve: curve.worth_most(cost)
    assert selection.answered_accuracy is not None
    return _widest(selection.answered_accuracy)


def _widest(accuracy: float) -> Rule:
    return lambda curve: curve.widest(accuracy)


def _infeasible(selection: Selection, curve: RiskCoverage, where: str) -> InfeasibleError:
    if selection.abstain_cost is not None:
        return InfeasibleError(
            f"no answer is expected to be worth its risk {where} at {option('abstain_cost', selection.abstain_cost)}: "
            f"fewer than {1 - selection.abstain_cost:.4g} of even the surest are right; raise it"
        )
    accuracy, share = curve.best()
    return InfeasibleError(
        f"no threshold is expected to make {selection.answered_accuracy:.6g} of the answers right {where}; the most "
        f"that these units show is {accuracy:.4g}, of the surest {100 * share:.3g} % of them. Lower "
        f"{option('answered_accuracy')}, choose a more accurate committee, or give more units"
    )


def _places(committee: Committee) -> int:
    return sum(len(part.stages) for part in committee.parts)
