"""Functions that the analyses of one cascade share.

They choose the cascade, give confidence and quality at every stage, and find thresholds for given numbers of exits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import reaches
from wisecommittee.committees.scale import LARGEST
from wisecommittee.errors import InfeasibleError, UsageError, option
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.members import identity, members_pool
from wisecommittee.searches.reporter import reported_threshold
from wisecommittee.searches.stages.exit_table import ExitTable, committee_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.pool_confidence import require_confidence


def chosen_cascades(study: Study) -> tuple[Committee, ...]:
    """The cascades that an analysis is about.

    First the committees that the user named; else the cascade of the two models named, in that order; else the most
    accurate cascade on the frontier, of two models unless a frontier was given.
    """
    for committee in study.committees:
        if len(committee.thresholds.values) < 1:
            raise UsageError(f"{committee.label()} has no threshold; name committees with two stages or more")
    return study.committees or (_found_cascade(study),)


def _found_cascade(study: Study) -> Committee:
    if len(named := list(dict.fromkeys(study.query.models or ()))) == 2:
        pool = study.pool()
        if set(named) == {card.model for card in pool.cards}:
            return two_stages(pool, *named)
    cascades = [e for e in study.given or study.search(max_models=2) if e.committee.shape == "cascade"]
    if not cascades:
        raise InfeasibleError(
            f"the frontier holds no cascade; name two models, the cheaper first ({option('models')} a "
            f"{option('models')} b), or a committee"
        )
    return max(cascades, key=lambda e: e.quality).committee


def two_stages(pool: Pool, first: str, second: str) -> Committee:
    """first | second, where half of the units exit early."""
    committee = Committee(
        ((first,), (second,)),
        Thresholds((0.0,)),
        pool.confidence_name,
        pool.combine.name,
        cost=pool.cost.name,
        chosen_on=pool.split,
        labels_from=pool.store.labels_from,
        members={card.model: identity(card) for card in pool.cards},
    )
    return with_exits(pool, committee, [pool.units // 2])


def cascade_pool(study: Study, committee: Committee, split: str) -> Pool:
    """The committee's members on a split, as they were when it was chosen."""
    return members_pool([committee], study.store, split)


def stage_table(pool: Pool, committee: Committee) -> ExitTable:
    """The exit table of a committee whose units are right or wrong by themselves, with the confidence after the last
    stage."""
    if pool.task.width > 1:
        raise UsageError(
            f"this analysis needs units that are right or wrong by themselves; {pool.task.name} is not made of such"
        )
    require_confidence(pool.confidence, pool.cards, "these curves")
    return committee_tables(pool, [committee], score_last=True)[0]


def stage_values(pool: Pool, committee: Committee) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Confidence [R, N] in each row of the exit table, as it is carried, and quality [R, N] in [0, 1] of answering
    there."""
    table = stage_table(pool, committee)
    return table.score, table.stats[:, :, 0] / pool.task.scale


def with_exits(pool: Pool, committee: Committee, exits: Sequence[int]) -> Committee:
    """The same stages with thresholds at which these numbers of units exit, stage by stage, as nearly as ties allow; of
    two thresholds as near the lower. The pool's confidence becomes the committee's."""
    start = Thresholds((0.0,) * len(committee.thresholds.values))
    twin = replace(committee, policy=start, confidence=pool.confidence_name)
    score, _ = stage_values(pool, twin)
    waiting = np.ones(pool.units, dtype=bool)
    pairs: list[tuple[float, float | None]] = []
    scale = scale_of(pool.confidence)
    for row, wanted in zip(score[:-1], exits, strict=False):
        pairs.append(reported_threshold(np.sort(row), _cut(row[waiting], wanted), scale))
        (threshold,) = scale.carried([pairs[-1][0]], [pairs[-1][1]])
        waiting &= ~reaches(row, threshold)
    members = {card.model: identity(card) for card in pool.cards if card.model in committee.models}
    return replace(
        twin, policy=Thresholds.of(pairs), members={**committee.members, **members} if committee.members else {}
    )


def _cut(score: NDArray[np.float32], wanted: int) -> np.float32:
    """The threshold at which the number of units at or above it is nearest to the one wanted."""
    if not len(score):
        return np.float32(0)
    values, counts = np.unique(score, return_counts=True)
    leaving = np.cumsum(counts[::-1])[::-1]
    if values[-1] < LARGEST:
        nobody = np.nextafter(values[-1], np.float32(np.inf))
        values, leaving = np.r_[values, nobody], np.r_[leaving, 0]
    return values[np.argmin(np.abs(leaving - wanted))]  # the first of equals lets more units exit


def exits_of(pool: Pool, committee: Committee) -> list[int]:
    """Units that exit at each stage."""
    e = evaluate_in(pool, [committee])[0]
    return [round(share * e.n) for share in e.exit_ratios]
