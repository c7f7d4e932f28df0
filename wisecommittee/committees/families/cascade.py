"""Cascades (Wang et al. 2022, Alg. 1): every ordered sequence of members; each stage but the last has a threshold.

Departs from the paper: a stage at which no unit exits on the choosing split is merged into the next stage, so the
search also finds tiers and ensembles; and one stage may add several members of a group (the next leaves of a
hierarchical neural ensemble).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.families.chains import Chain, steps, walks
from wisecommittee.committees.families.family import Cards, Family, Tiers
from wisecommittee.committees.families.groups import groups_of, stops


def chains(cards: Cards, replicas: str = "canonical") -> list[Chain]:
    """The chains of architectures and groups.

    replicas : 'canonical': an architecture used r times stands for its first r replicas (8 architectures with 4
    replicas give 8**4 sequences of 4); 'all': every model is a chain by itself. Members of a group join in order of
    position; after a stage 1, 2, 3, 4, 6, 8, 12, .. or all members of the group are in use; with 'all', any number.
    """
    groups = groups_of(cards).values()
    return [Chain.leaping(members, stops(len(members), replicas)) for members in groups] + independent(cards, replicas)


def independent(cards: Cards, replicas: str) -> list[Chain]:
    """The chains of models that belong to no group."""
    copies: dict[str, list[int]] = {}
    for index, card in enumerate(cards):
        if card.group is None:
            copies.setdefault(card.architecture if replicas == "canonical" else card.model, []).append(index)
    return [Chain.single_file(tuple(models)) for models in copies.values()]


def tiers(cards: Cards, replicas: str = "canonical") -> Tiers:
    """The groups of models that one stage can add; the first M are the single models."""
    return steps(chains(cards, replicas), len(cards)).tiers


def combinations(cards: Cards, size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, size]: sequences of indices into the tiers, in lexicographic order."""
    return walks(chains(cards, replicas), len(cards), size)


FAMILY = Family("cascade", True, combinations, tiers, chains=chains)
