"""Many vectors of thresholds on the same stages at once, counted by bits. `Thresholds.next` decides the same per unit.

A vector holds the carried thresholds (scale.py) of all stages but the last: float32 [K - 1], a row of an array
[n, K - 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import reaches

BATCH_BITS = 1 << 28  # memory for one batch of committees
Bits = NDArray[np.uint64]  # one bit per unit


def carried_vectors(policies: Sequence[Thresholds], confidence: str) -> NDArray[np.float32]:
    """float32 [n, K - 1] of policies for the same stages, carried on the scale of the confidence."""
    pairs = [pair for policy in policies for pair in policy.pairs]
    values = scale_of(confidence).carried([value for value, _ in pairs], [log_odds for _, log_odds in pairs])
    return values.reshape(len(policies), len(policies[0].values))


def batches(count: int, bits: int) -> Iterator[slice]:
    """Slices of `count` committees that need `bits` bits each; a slice fits into BATCH_BITS."""
    step = max(1, BATCH_BITS // bits)
    for start in range(0, count, step):
        yield slice(start, start + step)


def continuing(score: NDArray[np.float32], vectors: NDArray[np.float32]) -> Iterator[Bits]:
    """Yields, after each stage but the last, bits [n, ceil(N / 64)]: the units that have not exited, for each vector.

    score : float32 [K, N], of which the last row is not read; vectors : float32 [n, K - 1].
    """
    waiting = as_bits(np.ones(score.shape[1], dtype=bool))[None]
    for row, column in zip(score[:-1], vectors.T, strict=True):
        distinct, which = np.unique(column, return_inverse=True)
        waiting = waiting & ~np.stack([as_bits(reaches(row, threshold)) for threshold in distinct])[which]
        yield waiting


def exit_counts(score: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 [n, K]: number of units that exit at each stage, for each vector [n, K - 1]."""
    exits = []
    for part in batches(len(vectors), score.shape[1]):
        batch = vectors[part]
        reached = [np.full(len(batch), score.shape[1]), *map(count_bits, continuing(score, batch))]
        exits.append(-np.diff(reached, axis=0, append=0).T)
    return np.concatenate(exits)


def exit_stages(score: NDArray[np.float32], vectors: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    """Yields int64 [N] for each vector [n, K - 1]: the stage at which each unit exits."""
    units = score.shape[1]
    for vector in vectors:
        stage = np.zeros(units, np.int64)
        for bits in continuing(score, vector[None]):
            stage += np.unpackbits(bits.view(np.uint8)[0], count=units)
        yield stage


def as_bits(units: NDArray[np.bool_]) -> Bits:
    """uint64 [ceil(N / 64)]: one bit for each unit of bool [N], zeros after the last."""
    packed = np.packbits(units)
    words = np.zeros(-(-len(packed) // 8), np.uint64)
    words.view(np.uint8)[: len(packed)] = packed
    return words


def count_bits(bits: Bits) -> NDArray[np.int64]:
    """int64: number of bits that are set in each row of words."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
