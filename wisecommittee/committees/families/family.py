"""A family: the models that take part, the tiers that a stage can add, and the sequences of stages that exist."""

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

    Parameters
    ----------
    name : str
    thresholded : bool
        Whether every stage but the last has a threshold.
    combinations : callable
        (cards, size, replicas) -> int64 [n, size], sequences of indices into the tiers in lexicographic order. Every
        beginning of a sequence is a sequence too. `sequences` adds single models that are missing.
    tiers : callable
        (cards, replicas) -> the groups of models that a stage can add, as tuples of model indices; the first M are the
        M models.
    members : callable
        (cards, confidence) -> the cards that take part; AbsentError if there are none.
    chains : callable or None
        (cards, replicas) -> chains from which the combinations follow, for families that may be too large to list.
    combine, confidence : str or None
        Default rule and confidence; None for the defaults of the kind of outputs.
    stages : int or None
        Default of the largest number of stages; None for no limit.
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
        """int64 [n, size]: the combinations in lexicographic order; for size 1 also every single model.

        Canonical replicas and the order within a group restrict the members of a committee, but not single models.
        """
        combinations = self.combinations(cards, size, replicas)
        return combinations if size > 1 else np.union1d(combinations, np.arange(len(cards)))[:, None]
