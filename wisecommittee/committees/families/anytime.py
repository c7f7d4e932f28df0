"""Anytime inference (hierarchical neural ensembles): the first 1, 2, 4, .. members of a group answer together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.families.chains import Chain, steps, walks
from wisecommittee.committees.families.family import Cards, Family, Tiers
from wisecommittee.committees.families.groups import doublings, groups_of, stops, whole_groups


def chains(cards: Cards, replicas: str = "canonical") -> list[Chain]:
    """A group takes part as one stage of its first 1, 2, 4, .. members; with replicas 'all', of any number of them."""
    stop = (lambda size: stops(size, "all")) if replicas == "all" else doublings
    return [Chain.once(members, stop(len(members))) for members in groups_of(cards).values()]


def tiers(cards: Cards, replicas: str = "canonical") -> Tiers:
    return steps(chains(cards, replicas), len(cards)).tiers


def combinations(cards: Cards, size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, 1]: the first members of a group as one stage; empty for size > 1."""
    return walks(chains(cards, replicas), len(cards), size) if size == 1 else np.zeros((0, size), np.int64)


def members(cards: Cards, confidence: str | None) -> tuple[StoredCard, ...]:
    return whole_groups(cards, "anytime", "train one with `wisecommittee train hne`")


FAMILY = Family("anytime", False, combinations, tiers, members, stages=1)
