"""What a family says about itself: who takes part, what a stage can add, and which sequences of stages exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.families.chains import Chain

Cards = Sequence[StoredCard]
Tiers = tuple[tuple[int, ...], ...]


def everyone(cards: Cards, confidence: str | None) -> tuple[StoredCard, ...]:
    return tuple(cards)


def one_by_one(cards: Cards, replicas: str) -> Tiers:
    return tuple((m,) for m in range(len(cards)))


@dataclass(frozen=True, slots=True)
class Family:
    """A family of committees over M models in canonical order.

    thresholded : whether every stage but the last has a threshold
    members : (cards, confidence) -> the cards that take part; an error where there are none
    tiers : (cards, replicas) -> what a stage can add, tuples of model indices; the first M are the models themselves
    combinations : (cards, size, replicas) -> int64 [n, size] sequences of indices into the tiers, in lexicographic
    order; with every sequence its beginnings exist too. `sequences` adds the models that it leaves out.
    chains : (cards, replicas) -> chains whose walks the combinations are, for a family too large to be listed before
    it is known to be feasible; None where listing is a small matter
    combine, confidence : defaults, None for those of the kind of outputs; stages : most of them by default, None for
    all there are
    """

    name: str
    thresholded: bool
    combinations: Callable[[Cards, int, str], NDArray[np.int64]]
    tiers: Callable[[Cards, str], Tiers] = one_by_one
    members: Callable[[Cards, str | None], tuple[StoredCard, ...]] = everyone
    chains: Callable[[Cards, str], list[Chain]] | None = None
    combine: str | None = None
    confidence: str | None = None
    stages: int | None = 4

    def sequences(self, cards: Cards, size: int, replicas: str = "canonical") -> NDArray[np.int64]:
        """int64 [n, size]: the combinations, and with one stage every model by itself, in lexicographic order.

        Canonical replicas and the order of a group are about members of a committee; a model alone needs none of them.
        """
        found = self.combinations(cards, size, replicas)
        return found if size > 1 else np.union1d(found, np.arange(len(cards)))[:, None]
