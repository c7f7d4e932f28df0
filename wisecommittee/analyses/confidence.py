"""How well confidence functions tell right from wrong units, and the effect on a cascade (Wang et al. 2022, D.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.analyses.cascades import cascade_pool, chosen_cascades, exits_of, stage_values, with_exits
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES, confidence_named
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.pool_confidence import common_scores, require_confidence

SHARES = tuple(k / 100 for k in range(1, 101))


@dataclass(frozen=True, slots=True)
class ConfidenceCurves:
    """Accuracy within the most confident share of units (Fig. 3), of one stage: the mean of `models`.

    shares [k] in (0, 1]; accuracy {confidence: [k]}; ideal [k] : accuracy of a confidence
    that ranks all units that are right first.
    """

    models: tuple[str, ...]
    split: str
    n: int
    shares: tuple[float, ...]
    accuracy: dict[str, tuple[float, ...]]
    ideal: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AtEqualCost:
    """One cascade with its thresholds for one confidence, set so that as many units exit at each stage (Table 12)."""

    confidence: str
    evaluation: Evaluation
    test: Evaluation | None


def curves(study: Study, shares: Sequence[float] = SHARES) -> ConfidenceCurves:
    """The curves of the first stage of the committee that the user named, else of the cheapest model of the study."""
    if study.committees:
        committee = study.committees[0]
        return curves_in(cascade_pool(study, committee, study.split), committee.stages[0], shares)
    pool = study.pool()
    cheapest = min(range(len(pool.cards)), key=lambda m: float(pool.cost.stages([[m]])[-1].sum()))
    return curves_in(pool, (pool.cards[cheapest].model,), shares)


def curves_in(pool: Pool, models: tuple[str, ...], shares: Sequence[float] = SHARES) -> ConfidenceCurves:
    require_confidence(pool.confidence, pool.cards, "curves of confidence")
    accuracy: dict[str, tuple[float, ...]] = {}
    quality = np.zeros(pool.units)
    for name in functions(pool):
        score, of_stage = stage_values(with_confidence(pool, name), Committee((models,)))
        quality = of_stage[0]
        accuracy[name] = accuracy_within(score[0], quality, shares)
    return ConfidenceCurves(
        models, pool.split, pool.units, tuple(shares), accuracy, accuracy_within(quality, quality, shares)
    )


def accuracy_within(
    score: NDArray[np.floating], quality: NDArray[np.float64], shares: Sequence[float]
) -> tuple[float, ...]:
    """Mean quality of the units with the highest score [N], for each share of units.

    If a share includes only some of the units with one score, they count with their mean: the result depends neither on
    the order of units nor on how a share rounds.
    """
    values, group = np.unique(-score.astype(np.float64), return_inverse=True)
    count = np.bincount(group, minlength=len(values))
    total = np.bincount(group, weights=quality, minlength=len(values))
    wanted = np.array(shares) * len(score)
    return tuple((np.interp(wanted, np.r_[0, np.cumsum(count)], np.r_[0, np.cumsum(total)]) / wanted).tolist())


def functions(pool: Pool) -> tuple[str, ...]:
    """The confidence functions these models have: those of their outputs, and the scores stored with all of them."""
    return (*(CONFIDENCES if pool.averaged else ()), *common_scores(pool.cards))


def with_confidence(pool: Pool, name: str) -> Pool:
    return replace(pool, confidence=confidence_named(name, (name,)))


def at_equal_cost(study: Study) -> list[list[AtEqualCost]]:
    """The chosen cascades with every confidence function, at the cascade's number of exits at each stage.

    Thresholds come from the split that chooses; the reporting split runs them.
    """
    return [_at_equal_cost(study, committee) for committee in chosen_cascades(study)]


def _at_equal_cost(study: Study, committee: Committee) -> list[AtEqualCost]:
    pool = cascade_pool(study, committee, study.split)
    exits = exits_of(pool, committee)
    results = []
    for name in functions(pool):
        scored = with_confidence(pool, name)
        twin = with_exits(scored, committee, exits)
        evaluation = evaluate_in(scored, [twin])[0]
        test = study.reported([evaluation])
        results.append(AtEqualCost(name, evaluation, test[0] if test else None))
    return results
