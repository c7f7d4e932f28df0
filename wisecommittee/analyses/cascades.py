"""What analyses of one cascade share: which one is meant, its values at every stage, thresholds for given exits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.errors import InfeasibleError, UsageError
from wisecommittee.searches.evaluate import evaluate_in, identity, members_pool
from wisecommittee.searches.reporter import reported_threshold
from wisecommittee.searches.stages.exit_table import running, stage_indices
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import tables_for


def chosen_cascades(study: Study) -> tuple[Committee, ...]:
    """The cascades an analysis is about: the committees named; else of the two models named, the first before the
    second; else the most accurate cascade on the frontier, of two models unless a frontier was given."""
    for committee in study.committees:
        if len(committee.stages) < 2:
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
            "the frontier holds no cascade; name two models, the cheaper first (--models a --models b), or a committee"
        )
    return max(cascades, key=lambda e: e.quality).committee


def two_stages(pool: Pool, first: str, second: str) -> Committee:
    """first | second, where half of the units exit early."""
    committee = Committee(
        ((first,), (second,)),
        (0.0,),
        pool.confidence_name,
        pool.combine.name,
        cost=pool.cost.name,
        chosen_on=pool.split,
        members={card.model: identity(card) for card in pool.cards},
    )
    return with_exits(pool, committee, [pool.units // 2])


def cascade_pool(study: Study, committee: Committee, split: str) -> Pool:
    """The committee's members on a split, as they were when it was chosen."""
    return members_pool([committee], study.store, split)


def stage_values(pool: Pool, committee: Committee) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Confidence [K, N] after every stage, the last included, as it is carried, and quality [K, N] in [0, 1] of
    answering there."""
    if pool.task.width > 1:
        raise UsageError(
            f"this analysis needs units that are right or wrong by themselves; {pool.task.name} is not made of such"
        )
    combinations = running(stage_indices(pool, committee))
    tables = tables_for(pool, combinations, compared=combinations)
    return tables.scores(combinations), tables.correct.rows(tables.nodes(combinations)) / pool.task.scale


def with_exits(pool: Pool, committee: Committee, exits: Sequence[int]) -> Committee:
    """The same stages with thresholds at which as nearly as possible these numbers of units exit, stage by stage; of
    two as near the cheaper. The pool's confidence becomes the committee's."""
    score, _ = stage_values(pool, committee)
    waiting = np.ones(pool.units, dtype=bool)
    thresholds: list[tuple[float, float | None]] = []
    scale = scale_of(pool.confidence)
    for row, wanted in zip(score[:-1], exits, strict=False):
        value = _cut(row[waiting], wanted)
        thresholds.append(reported_threshold(np.sort(row), value, scale))
        waiting &= row < scale.carried([thresholds[-1][0]], [thresholds[-1][1]])
    members = {card.model: identity(card) for card in pool.cards if card.model in committee.models}
    return replace(
        committee,
        thresholds=(0.0,) * len(thresholds),
        log_odds=(),
        confidence=pool.confidence_name,
        members={**committee.members, **members} if committee.members else {},
    ).with_thresholds(thresholds)


def _cut(score: NDArray[np.float32], wanted: int) -> np.float32:
    """The threshold at which the number of units at or above it is nearest to the one wanted."""
    if not len(score):
        return np.float32(0)
    values, counts = np.unique(score, return_counts=True)
    leaving = np.cumsum(counts[::-1])[::-1]
    nobody = np.nextafter(values[-1], np.float32(np.inf))
    values, leaving = np.r_[values, nobody], np.r_[leaving, 0]
    return values[np.argmin(np.abs(leaving - wanted))]  # the first of equals lets more units exit


def exits_of(pool: Pool, committee: Committee) -> list[int]:
    """Units that exit at each stage."""
    e = evaluate_in(pool, [committee])[0]
    return [round(share * e.n) for share in e.exit_ratios]
