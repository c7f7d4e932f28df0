"""Cascades (Wang et al. 2022, Alg. 1): every ordered sequence of members, each stage but the last with a threshold.

Departs: a stage where nobody exits on the choosing split is merged into the next, so tiers and ensembles are found too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import UsageError

thresholded = True
REPLICAS = ("canonical", "all")


def combinations(cards: Sequence[ModelCard], size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, size]: sequences of indices into cards (in canonical order), in lexicographic order.

    'canonical': sequences of architectures; one used r times stands for its first r replicas in order of appearance
    (8 architectures with 4 replicas give 8**4 sequences of 4). 'all': sequences of distinct models.
    """
    if replicas == "all":
        return _distinct(len(cards), size)
    if replicas != "canonical":
        raise UsageError(f"replicas {replicas!r}; expected canonical or all")
    models: dict[str, list[int]] = {}
    for index, card in enumerate(cards):
        models.setdefault(card.architecture, []).append(index)
    pools = list(models.values())
    deepest = max((len(pool) for pool in pools), default=0)
    table = np.full((len(pools), max(deepest, size)), -1, dtype=np.int64)
    for row, pool in enumerate(pools):
        table[row, : len(pool)] = pool
    grid = np.indices((len(pools),) * size, dtype=np.int64).reshape(size, -1).T
    # How often the architecture appeared before in the sequence = which replica it is.
    earlier = np.zeros_like(grid)
    for later in range(size):
        for before in range(later):
            earlier[:, later] += grid[:, later] == grid[:, before]
    sequences = table[grid, earlier]
    sequences = sequences[(sequences >= 0).all(axis=1)]
    return sequences[np.lexsort(sequences.T[::-1])]


def _distinct(models: int, size: int) -> NDArray[np.int64]:
    sequences = np.zeros((1, 0), dtype=np.int64)
    for _ in range(size):
        longer = np.repeat(sequences, models, axis=0)
        newest = np.tile(np.arange(models), len(sequences))
        fresh = (longer != newest[:, None]).all(axis=1)
        sequences = np.column_stack([longer[fresh], newest[fresh]])
    return sequences
