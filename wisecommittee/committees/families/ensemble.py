"""Ensembles (Wang et al. 2022, Sec. 3; Kondratyuk et al. 2020): sets of members that all run and answer together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.families.cascade import independent
from wisecommittee.committees.families.chains import Chain, steps, walks
from wisecommittee.committees.families.family import Cards, Family, Tiers
from wisecommittee.committees.families.groups import groups_of, stops


def chains(cards: Cards, replicas: str = "canonical") -> list[Chain]:
    """The chains of a cascade, but one stage adds the first 1, 2, 3, 4, 6, 8, .. members of a group at once."""
    groups = groups_of(cards).values()
    return [Chain.once(members, stops(len(members), replicas)) for members in groups] + independent(cards, replicas)


def tiers(cards: Cards, replicas: str = "canonical") -> Tiers:
    return steps(chains(cards, replicas), len(cards)).tiers


def combinations(cards: Cards, size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, size]: sets of members, each as an ascending sequence of indices into the tiers."""
    return walks(chains(cards, replicas), len(cards), size, ascending=True)


FAMILY = Family("ensemble", False, combinations, tiers, chains=chains)
