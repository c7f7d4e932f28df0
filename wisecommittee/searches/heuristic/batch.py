"""Stage tables of one batch of prefixes with their sorted confidences, for searches whose tables do not fit in memory
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.kernels.sweeps.bins import bin_units
from wisecommittee.searches.grid.levels import padded_levels
from wisecommittee.searches.heuristic.neighbours import Combination
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import tables_for
from wisecommittee.searches.workers.threads import Workers

LEVELS = 32  # levels of a stage in a joint sweep
BATCH_BYTES = 512 << 20  # bytes of the stage tables that are held at a time
Item = TypeVar("Item")


class Stages:
    """Stage tables of one batch of prefixes, with their sorted confidences; bins and ranks are made on first use."""

    def __init__(self, pool: Pool, scored: Iterable[Combination], plain: Iterable[Combination], threads: int) -> None:
        """scored : prefixes whose confidence is compared; plain : prefixes of which only the correctness is needed."""
        self.pool = pool
        scored = set(scored)
        self.tables = tables_for(pool, plain, compared=scored, threads=threads)
        rows = sorted({self.tables.row(s) for s in scored})
        with Workers(threads) as workers:
            scale = scale_of(pool.confidence)
            ordered = workers.map(lambda row: scale.lowest(np.sort(self.tables.score[row])), rows)
            self._ordered: dict[int, NDArray[np.float32]] = dict(zip(rows, ordered, strict=True))
        self._bins: dict[
            tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int32]]
        ] = {}  # the values keep the levels alive, whose ids are keys
        self._orders: dict[int, NDArray[np.int64]] = {}
        self._numbers: dict[int, NDArray[np.int32]] = {}

    def row(self, sequence: Combination) -> int:
        return self.tables.row(sequence)

    def correct(self, sequence: Combination) -> NDArray[np.integer]:
        return self.tables.correct.row(self.tables.node(sequence))

    def extended(self, head: Combination, lasts: NDArray[np.int64]) -> NDArray[np.integer]:
        """[m, N] quality of head + (last,)."""
        return self.tables.correct.rows(self.tables.nodes((*head, int(m)) for m in lasts))

    def value(self, sequence: Combination, below: int) -> float:
        """The threshold with at most this many units below it."""
        if below >= self.pool.units:
            return float("inf")
        return float(self._ordered[self.row(sequence)][below])

    def below(self, sequence: Combination, value: float) -> int:
        """How many units lie below a threshold."""
        return int(np.searchsorted(self._ordered[self.row(sequence)], np.float32(value)))

    def bins(self, sequence: Combination, levels: NDArray[np.int64]) -> NDArray[np.int32]:
        """int32 [N]: how many levels, given as numbers of units below them, are at or below each unit's confidence."""
        row = self.row(sequence)
        key = (row, id(levels))
        if key not in self._bins:
            bins = np.empty(self.pool.units, np.int32)
            bin_units(self.tables.score[row], padded_levels(self._ordered[row][levels]), bins)
            self._bins[key] = levels, bins
        return self._bins[key][1]

    def order(self, sequence: Combination) -> NDArray[np.int64]:
        """int64 [N]: units by rising confidence."""
        row = self.row(sequence)
        if row not in self._orders:
            self._orders[row] = np.argsort(self.tables.score[row], kind="stable")
        return self._orders[row]

    def numbers(self, sequence: Combination) -> NDArray[np.int32]:
        """int32 [N]: the number of each unit's confidence among the distinct ones."""
        row = self.row(sequence)
        if row not in self._numbers:
            order, ordered = self.order(sequence), self._ordered[row]
            numbers = np.empty(len(order), np.int32)
            numbers[order] = np.r_[0, np.cumsum(ordered[1:] != ordered[:-1])]
            self._numbers[row] = numbers
        return self._numbers[row]

    def number(self, sequence: Combination, value: float) -> int:
        """How many distinct confidences lie below a threshold."""
        below = self.below(sequence, value)
        return int(self.numbers(sequence)[self.order(sequence)[below - 1]]) + 1 if below else 0

    def distinct(self, sequence: Combination, number: int) -> float:
        """The distinct confidence with this number; inf beyond the last."""
        return self.value(sequence, int(np.searchsorted(self.numbers(sequence)[self.order(sequence)], number)))


def level_indices(units: int, levels: int) -> NDArray[np.int64]:
    """int64 [P - 1]: indices of the finite levels among the ascending confidences, closer together where few units
    continue."""
    steps = np.arange(levels - 1) / (levels - 1)
    return np.minimum(units - 1, np.ceil(units * steps**3)).astype(np.int64)


def batches(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[list[Item]]:
    """Runs of items whose sizes stay below BATCH_BYTES together."""
    batch: list[Item] = []
    filled = 0
    for item, size in zip(items, sizes, strict=True):
        if batch and filled + size > BATCH_BYTES:
            yield batch
            batch, filled = [], 0
        batch.append(item)
        filled += size
    if batch:
        yield batch
