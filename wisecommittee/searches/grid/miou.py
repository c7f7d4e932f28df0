"""Qualities that are not a sum over units, such as mIoU: every vector of levels is counted, and the committees that no
other dominates are kept.

Levels, ties and stages are those of the grid (sweep.py); totals of all statistics are exact integers. There is no exact
mode: mIoU is not a sum over units, so the lemma of kernels/exact/gain_levels.py does not hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.kernels.sweeps import histogram
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.chunks import Chunk, run_chunks, sweep_task
from wisecommittee.searches.grid.levels import level_values, level_vector
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.limits import Limits
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import Control, Mapper

SWEPT = 2  # last thresholds whose levels form one table; longer cascades loop over the levels of the other thresholds


@dataclass(frozen=True, slots=True)
class Skyline:
    """Non-dominated committees by rising cost: cost int64, quality float64, rank and level index int64, all [n]."""

    cost: NDArray[np.int64]
    quality: NDArray[np.float64]
    rank: NDArray[np.int64]
    level: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Skyline]) -> Skyline:
        """Of all committees in `parts` those that no other dominates; among equals the lowest rank, then level."""
        cost, quality, rank, level = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("cost", "quality", "rank", "level")
        )
        order = np.lexsort((level, rank, -quality, cost))
        best = np.maximum.accumulate(quality[order])
        order = order[np.r_[True, best[1:] > best[:-1]][: len(order)]]
        return cls(cost[order], quality[order], rank[order], level[order])


EMPTY = Skyline(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


def chains(cards: Sequence[StoredCard], size: int) -> NDArray[np.int64]:
    """int64 [n, size]: sequences of entries in which each adds models to the one before, in lexicographic order.

    Algorithm 1 of Wang et al. 2022: every model that has run takes part in all later answers.
    """
    sequences: list[tuple[int, ...]] = [(m,) for m in range(len(cards))]
    for _ in range(size - 1):
        sequences = [(*s, m) for s in sequences for m, card in enumerate(cards) if card.members > cards[s[-1]].members]
    return np.array(sequences, np.int64).reshape(len(sequences), size)


class SkylineSearch:
    """The sweep over all combinations; pickles, and is run like a GridSearch."""

    def __init__(
        self, pool: Pool, tables: StageTables, candidates: list[Candidates], levels: int, limits: Limits
    ) -> None:
        self.task, self.cost, self.units = pool.task, pool.cost, pool.units
        self.candidates, self.levels, self.limits = candidates, levels, limits
        self.statistics = [pool.stored(m).outputs() for m in range(len(pool.cards))]
        self.values = [level_values(np.sort(score), levels) for score in tables.score]
        pairs = zip(self.values, tables.score, strict=True)
        self.bins = [np.searchsorted(values, score, side="right") for values, score in pairs]
        self.skyline = EMPTY

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Every threshold vector of every combination; returns the combinations that a stop has left unfinished."""
        return run_chunks(
            mapper, self.candidates, self.chunk, before=lambda: None, fold=self.fold, task=sweep_task, grouped=False
        )  # fmt: skip

    def fold(self, skyline: Skyline) -> None:
        self.skyline = Skyline.of([self.skyline, skyline])

    def chunk(self, before: None, chunk: Chunk, control: Control) -> tuple[Skyline, int]:
        """The skyline of these combinations, and how many of them are finished. Single models always are."""
        skyline = EMPTY
        for n, (sequence, rank) in enumerate(zip(chunk.sequences.tolist(), chunk.ranks.tolist(), strict=True)):
            if len(sequence) > 1 and control.stopped():
                return skyline, n
            skyline = Skyline.of([skyline, self._sequence(tuple(sequence), rank)])
            control.tick(1)
        return skyline, len(chunk)

    def _sequence(self, sequence: tuple[int, ...], rank: int) -> Skyline:
        """Every vector of levels of one combination."""
        stages = [self.statistics[m].astype(np.int64) for m in sequence]
        fees = self.cost.marginal(sequence, self.units)
        everyone = np.ones(self.units, np.int64)
        # The change by a unit that goes on to the next stage: statistics, cost, and 1 for the units that run the stage.
        steps = [
            np.column_stack([after - before, fee, everyone])
            for before, after, fee in zip(stages, stages[1:], fees[1:], strict=False)
        ]
        bins = [self.bins[m] for m in sequence[:-1]]
        start = np.r_[stages[0].sum(axis=0), fees[0].sum(), self.units]
        outer = max(0, len(steps) - SWEPT)
        skylines = [EMPTY]
        for n, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            totals, ran = start, [np.int64(self.units)]
            waiting = np.ones(self.units, dtype=bool)
            for level, stage_bins, step in zip(vector, bins, steps, strict=False):
                waiting &= stage_bins <= level
                added = step[waiting].sum(axis=0)
                totals = totals + added
                ran.append(added[-1])
            if outer and not waiting.any():
                continue
            units = np.flatnonzero(waiting) if outer else slice(None)
            inner = [(b[units], s[units]) for b, s in zip(bins[outer:], steps[outer:], strict=True)]
            totals_by_level, ran_by_level = self._cells(totals, ran, inner)
            skylines.append(self._skyline(sequence, totals_by_level, ran_by_level, rank, n))
        return Skyline.of(skylines)

    def _cells(
        self, totals: NDArray[np.int64], ran: list[np.int64], inner: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    ) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """Totals int64 [P, P, S + 2] at every level of the last thresholds, and the units that run each stage, after
        stages that are settled. inner : for each of the last stages, its bins and the changes by its units"""
        shape = tuple(self.levels for _ in inner) + (1,) * (SWEPT - len(inner))
        cells = np.broadcast_to(totals, (*shape, len(totals))).copy()
        counts = [np.broadcast_to(n, shape) for n in ran]
        first = inner[0][0] if inner else None
        for depth, (bins, step) in enumerate(inner):
            table = np.empty((shape[0], shape[1] if depth else 1, len(totals)), np.int64)
            histogram.sum_by_levels(first, bins if depth else np.zeros_like(bins), step, table)
            cells += table
            counts.append(np.broadcast_to(table[..., -1], shape))
        return cells, counts

    def _skyline(
        self, sequence: tuple[int, ...], cells: NDArray[np.int64], ran: list[NDArray[np.int64]], rank: int, number: int
    ) -> Skyline:
        """The non-dominated cells; number : index of the vector of levels of the stages before."""
        quality = self.task.quality(cells[..., :-2], self.units).reshape(-1)
        cost = cells[..., -2].reshape(-1)
        level = number * len(cost) + np.arange(len(cost))
        kept = np.arange(len(cost)) if not self.limits else np.flatnonzero(self._allowed(sequence, ran).reshape(-1))
        return Skyline.of([Skyline(cost[kept], quality[kept], np.full(len(kept), rank), level[kept])])

    def _allowed(self, sequence: tuple[int, ...], ran: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Whether the numbers of units that run each stage keep the limits."""
        stages = np.array([sequence])
        (caps,), (charges,) = self.limits.caps(stages), self.limits.marginal(stages)
        allowed = np.ones(ran[0].shape, dtype=bool)
        for cap, units in zip(caps, ran, strict=True):
            allowed &= units <= cap
        for fees, ceiling in zip(charges, self.limits.ceilings, strict=True):
            allowed &= sum(fee * units for fee, units in zip(fees, ran, strict=True)) <= ceiling
        return allowed

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        sequences = {
            int(r): tuple(s) for c in self.candidates for r, s in zip(c.ranks, c.sequences.tolist(), strict=True)
        }
        points: list[Point] = []
        for rank, index in zip(self.skyline.rank.tolist(), self.skyline.level.tolist(), strict=True):
            sequence = sequences[rank]
            vector = level_vector(index, self.levels, len(sequence) - 1)
            points.append((sequence, tuple(self._value(m, level) for m, level in zip(sequence, vector, strict=False))))
        return points

    def _value(self, member: int, level: int) -> float:
        return float("inf") if level == self.levels - 1 else float(self.values[member][level])
