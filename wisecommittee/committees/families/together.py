"""Families whose stages can run several models together.

Where the members of a stage run at the same time, the stage takes as long as its slowest member; where every stage has
an overhead, a stage of two members has it once. So such a stage is not the same as several stages of which nobody
leaves the first ones. Each group of models that can run together is a tier of its own, and every division of a sequence
of models into stages is a combination.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.families.family import Cards, Family, Tiers

Stages = tuple[tuple[int, ...], ...]
Alike = dict[frozenset[int], tuple[int, ...]]


def together(family: Family, most: int, *, sequenced: bool) -> Family:
    """The family whose combinations are those of another one, divided into stages in every way.

    Parameters
    ----------
    family : Family
    most : int
        The largest number of tiers of that family in a committee.
    sequenced : bool
        Whether the order of the models of a stage matters.
    """

    known: dict[tuple[tuple[str, ...], str], frozenset[Stages]] = {}

    def every(cards: Cards, replicas: str) -> frozenset[Stages]:
        key = tuple(card.model for card in cards), replicas
        if key not in known:
            sizes, single = range(1, min(most, len(cards)) + 1), family.tiers(cards, replicas)
            found = (row for size in sizes for row in family.combinations(cards, size, replicas).tolist())
            divided = (stages for row in found for stages in _divided([single[t] for t in row], family))
            alike: Alike = {} if sequenced else {frozenset(tier): tier for tier in single}
            known[key] = frozenset(tuple(_joined(stage, alike, sequenced) for stage in stages) for stages in divided)
        return known[key]

    def tiers(cards: Cards, replicas: str) -> Tiers:
        groups = {tier for stages in every(cards, replicas) for tier in stages if len(tier) > 1}
        return (*((m,) for m in range(len(cards))), *sorted(groups, key=lambda tier: (len(tier), tier)))

    def combinations(cards: Cards, size: int, replicas: str) -> NDArray[np.int64]:
        number = {tier: n for n, tier in enumerate(tiers(cards, replicas))}
        rows = [[number[tier] for tier in stages] for stages in every(cards, replicas) if len(stages) == size]
        return np.array(sorted(rows), np.int64).reshape((len(rows), size) if size > 1 else len(rows))

    return replace(family, combinations=combinations, tiers=tiers, chains=None)


def _divided(tiers: Tiers | list[tuple[int, ...]], family: Family) -> Iterator[tuple[Tiers, ...]]:
    """The ways to divide a sequence of tiers into stages; of a family without thresholds, one stage of all."""
    places = range(1, len(tiers))
    cuts = itertools.chain.from_iterable(itertools.combinations(places, n) for n in range(len(tiers)))
    for cut in cuts if family.thresholded else [()]:
        yield tuple(tuple(tiers[a:b]) for a, b in itertools.pairwise((0, *cut, len(tiers))))


def _joined(stage: Tiers, alike: Alike, sequenced: bool) -> tuple[int, ...]:
    """The models of a stage of several tiers; where their order does not matter, in one order for each set."""
    models = tuple(model for tier in stage for model in tier)
    return models if sequenced else alike.setdefault(frozenset(models), tuple(sorted(models)))
