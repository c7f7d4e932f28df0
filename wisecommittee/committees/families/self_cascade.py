"""Self-cascades (Wang et al. 2022, Sec. 6): one checkpoint at several input sizes, from cheap to dear."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.families.family import Cards, Family
from wisecommittee.errors import AbsentError


def checkpoints(cards: Cards) -> list[tuple[int, ...]]:
    """For every checkpoint with two input sizes or more, the indices of its cards by rising multiply-adds.

    A checkpoint is known by the hash of its weights, else by the name that extraction gives: b3@240/1 is b3, replica 1.
    """
    versions: dict[object, list[int]] = {}
    for index, card in enumerate(cards):
        if card.group is None:
            architecture, replica, _ = card.key
            versions.setdefault(card.weights or (architecture.partition("@")[0], replica), []).append(index)
    ordered = [tuple(sorted(indices, key=lambda m: _cost(cards[m]))) for indices in versions.values()]
    return [models for models in ordered if len({cards[m].input_size or cards[m].key[0] for m in models}) > 1]


def _cost(card: StoredCard) -> tuple[float, int, tuple[str, int, str]]:
    return sum(card.blocks.values()), math.prod(card.input_size or (0,)), card.key


def combinations(cards: Cards, size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, size]: rising sequences of input sizes of one checkpoint."""
    rows = [row for models in checkpoints(cards) for row in itertools.combinations(models, size)]
    return np.array(sorted(rows), dtype=np.int64).reshape(-1, size)


def members(cards: Cards, confidence: str | None) -> tuple[StoredCard, ...]:
    taken = sorted(m for models in checkpoints(cards) for m in models)
    if not taken:
        raise AbsentError(
            "family self_cascade needs one checkpoint at two input sizes or more, and none of the models "
            "chosen is; extract one with `wisecommittee extract MODEL --sizes 160,224`"
        )
    return tuple(cards[m] for m in taken)


FAMILY = Family("self_cascade", True, combinations, members=members)
