"""Committees that a search for a policy returns."""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import Policy
from wisecommittee.searches.members import identity
from wisecommittee.searches.stages.pool import Pool


def committee_of(pool: Pool, stages: Sequence[Sequence[int]], policy: Policy) -> Committee:
    """A committee of pool models with a policy. stages : the models of each stage, as their numbers in the pool."""
    cards = [[pool.cards[m] for m in stage] for stage in stages]
    return Committee(
        stages=tuple(tuple(card.model for card in stage) for stage in cards),
        policy=policy,
        confidence=pool.confidence_name,
        combine=pool.combine.name,
        cost=pool.cost.name,
        chosen_on=pool.split,
        labels_from=pool.store.labels_from,
        members={card.model: identity(card) for stage in cards for card in stage},
    )
