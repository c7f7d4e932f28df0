"""Qualities that are no sum over units, such as mIoU: every vector of levels, and of them what nothing dominates.

The same levels, ties and stages as the grid of exhaustive.py; totals of all statistics are exact integers. There is no
exact mode: with mIoU a unit has no gain of its own, so the lemma of kernels/exact/gain_levels.py does not hold.
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
from wisecommittee.searches.grid.levels import level_values
from wisecommittee.searches.grid.sweep import Point, Ranked
from wisecommittee.searches.limits import Limits
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import Control, Mapper

SWEPT = 2  # thresholds with a table of all their levels; longer cascades loop over the levels of earlier ones


@dataclass(frozen=True, slots=True)
class Skyline:
    """Non-dominated committees by rising cost: cost int64, quality float64, rank and level index int64, all [n]."""

    cost: NDArray[np.int64]
    quality: NDArray[np.float64]
    rank: NDArray[np.int64]
    level: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Skyline]) -> Skyline:
        """Less cost, then more quality, then lower rank, then lower level."""
        cost, quality, rank, level = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("cost", "quality", "rank", "level")
        )
        order = np.lexsort((level, rank, -quality, cost))
        best = np.maximum.accumulate(quality[order])
        order = order[np.r_[True, best[1:] > best[:-1]][: len(order)]]
        return cls(cost[order], quality[order], rank[order], level[order])


NOTHING = Skyline(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


def chains(cards: Sequence[StoredCard], size: int) -> NDArray[np.int64]:
    """int64 [n, size]: sequences of entries in which each adds models to the one before, in lexicographic order.

    Algorithm 1 of Wang et al. 2022: whoever has run takes part in every later answer.
    """
    found: list[tuple[int, ...]] = [(m,) for m in range(len(cards))]
    for _ in range(size - 1):
        found = [(*s, m) for s in found for m, card in enumerate(cards) if card.members > cards[s[-1]].members]
    return np.array(found, np.int64).reshape(len(found), size)


class SkylineSearch:
    """The sweep over all combinations; pickles, and is run like a GridSearch."""

    def __init__(
        self, pool: Pool, tables: StageTables, candidates: list[Candidates], levels: int, limits: Limits | None
    ) -> None:
        self.task, self.cost, self.units = pool.task, pool.cost, pool.units
        self.candidates, self.levels, self.limits = candidates, levels, limits
        self.statistics = [pool.store.outputs(card.model, pool.split) for card in pool.cards]
        self.values = [level_values(np.sort(score), levels) for score in tables.score]
        pairs = zip(self.values, tables.score, strict=True)
        self.bins = [np.searchsorted(values, score, side="right") for values, score in pairs]
        self.found = NOTHING

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Every threshold vector of every combination; returns the combinations that a stop has left unfinished."""
        unfinished: list[tuple[int, ...]] = []
        for c in self.candidates:
            tasks = list(zip(map(tuple, c.sequences.tolist()), c.ranks.tolist(), strict=True))
            parts = [tasks[i :: mapper.parts] for i in range(min(mapper.parts, len(tasks)))]
            name = f"thresholds, {c.size} stage{'s' if c.size > 1 else ''}"
            done = mapper.map(self.chunk, None, parts, name, len(tasks))
            for part, (found, finished) in zip(parts, done, strict=True):
                if found is not None:
                    self.found = Skyline.of([self.found, found])
                unfinished += [sequence for sequence, _ in part[finished:]]
        return unfinished

    def chunk(self, common: None, tasks: list[Ranked], control: Control) -> tuple[Skyline, int]:
        """The skyline of these combinations, and how many of them are finished. Single models always are."""
        found = NOTHING
        for finished, (sequence, rank) in enumerate(tasks):
            if len(sequence) > 1 and control.stopped():
                return found, finished
            found = Skyline.of([found, self._sequence(sequence, rank)])
            control.tick(1)
        return found, len(tasks)

    def _sequence(self, sequence: tuple[int, ...], rank: int) -> Skyline:
        """Every vector of levels of one combination."""
        stages = [self.statistics[m].astype(np.int64) for m in sequence]
        fees = self.cost.marginal(sequence, self.units)
        everybody = np.ones(self.units, np.int64)
        # What a unit adds when it goes on to the next stage: statistics, cost, one unit that runs it.
        steps = [
            np.column_stack([after - before, fee, everybody])
            for before, after, fee in zip(stages, stages[1:], fees[1:], strict=False)
        ]
        bins = [self.bins[m] for m in sequence[:-1]]
        start = np.r_[stages[0].sum(axis=0), fees[0].sum(), self.units]
        outer = max(0, len(steps) - SWEPT)
        found = [NOTHING]
        for place, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            totals, ran = start, [np.int64(self.units)]
            waiting = np.ones(self.units, dtype=bool)
            for level, some, step in zip(vector, bins, steps, strict=False):
                waiting &= some <= level
                added = step[waiting].sum(axis=0)
                totals = totals + added
                ran.append(added[-1])
            if outer and not waiting.any():
                continue
            some_units = np.flatnonzero(waiting) if outer else slice(None)
            inner = [(b[some_units], s[some_units]) for b, s in zip(bins[outer:], steps[outer:], strict=True)]
            found.append(self._cells(sequence, totals, ran, inner, rank, place))
        return Skyline.of(found)

    def _cells(
        self,
        sequence: tuple[int, ...],
        totals: NDArray[np.int64],
        ran: list[np.int64],
        inner: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
        rank: int,
        place: int,
    ) -> Skyline:
        """Every level of the last thresholds, after stages that are settled."""
        shape = tuple(self.levels for _ in inner) + (1,) * (SWEPT - len(inner))
        cells = np.broadcast_to(totals, (*shape, len(totals))).copy()
        counts = [np.broadcast_to(n, shape) for n in ran]
        first = inner[0][0] if inner else None
        for depth, (bins, step) in enumerate(inner):
            table = np.empty((shape[0], shape[1] if depth else 1, len(totals)), np.int64)
            histogram.cumulate(first, bins if depth else np.zeros_like(bins), step, table)
            cells += table
            counts.append(np.broadcast_to(table[..., -1], shape))
        quality = self.task.quality(cells[..., :-2], self.units).reshape(-1)
        cost = cells[..., -2].reshape(-1)
        level = place * len(cost) + np.arange(len(cost))
        kept = np.arange(len(cost)) if not self.limits else np.flatnonzero(self._allowed(sequence, counts).reshape(-1))
        return Skyline.of([Skyline(cost[kept], quality[kept], np.full(len(kept), rank), level[kept])])

    def _allowed(self, sequence: tuple[int, ...], ran: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Whether the numbers of units that run each stage keep the limits."""
        assert self.limits is not None
        (caps,), (others,) = self.limits.padded(np.array([sequence]), len(sequence))
        allowed = np.ones(ran[0].shape, dtype=bool)
        for cap, units in zip(caps, ran, strict=True):
            allowed &= units <= cap
        for fees, ceiling in zip(others, self.limits.ceilings, strict=True):
            allowed &= sum(fee * units for fee, units in zip(fees, ran, strict=True)) <= ceiling
        return allowed

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        sequences = {
            int(r): tuple(s) for c in self.candidates for r, s in zip(c.ranks, c.sequences.tolist(), strict=True)
        }
        out = []
        for rank, level in zip(self.found.rank.tolist(), self.found.level.tolist(), strict=True):
            sequence = sequences[rank]
            places: list[int] = []
            for _ in range(len(sequence) - 1):
                level, place = divmod(level, self.levels)
                places.insert(0, place)
            pairs = zip(sequence, places, strict=False)
            out.append((sequence, tuple(self._value(m, place) for m, place in pairs)))
        return out

    def _value(self, member: int, place: int) -> float:
        return float("inf") if place == self.levels - 1 else float(self.values[member][place])
