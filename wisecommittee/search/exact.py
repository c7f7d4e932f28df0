"""The exact mode: the optimum over all real thresholds, with the grid's envelope as a warm start.

Levels are the gain confidences of each stage (see kernels/exact.py), so a few hundred thresholds per stage stand for
all N of them; every cell that is not evaluated is bounded by the envelope, so what comes out is certified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import INT64_SAFE, CostModel
from wisecommittee.errors import UsageError
from wisecommittee.kernels import exact, grid
from wisecommittee.search.exhaustive import (
    THRESHOLDED,
    Candidates,
    Corners,
    Envelope,
    GridSearch,
    Point,
    Ranked,
    copied,
    cornered,
    corners,
)
from wisecommittee.search.limits import Limits
from wisecommittee.search.tables import StageTables
from wisecommittee.search.workers import Control, Mapper

BUCKETS = 8192  # of the table that answers how many correct a cost needs


@dataclass(frozen=True, slots=True)
class _Stage:
    """Levels of one stage of one cascade: bins int32 [N], distinct numbers of the levels, gain at or below each."""

    bins: NDArray[np.int32]
    numbers: NDArray[np.int64]
    reached: NDArray[np.int64]


def require_provable(candidates: Sequence[Candidates], cost: CostModel, limits: Limits | None) -> None:
    """Refuse what could not be proved, before anything is swept."""
    longest = max(c.size for c in candidates)
    if longest > THRESHOLDED + 1:
        raise UsageError(f"--exact proves cascades of up to {THRESHOLDED + 1} members; lower --max-models {longest}")
    if cost.per_unit is not None and limits:
        raise UsageError(
            f"--exact with limits needs a cost that is the same for every unit; {cost.name} varies. "
            f"Leave the limits or --exact out"
        )


class ExactSearch:
    """Proves the envelope of a finished grid search; ranks in it become 2 rank + 1 (grid) and 2 rank (exact)."""

    def __init__(self, sweep: GridSearch, tables: StageTables) -> None:
        require_provable(sweep.candidates, sweep.cost, sweep.limits)
        self.sweep = sweep
        cost, rank, level = sweep.envelope
        self.envelope: Envelope = (cost, np.where(rank >= 0, 2 * rank + 1, rank), level)
        # Distinct confidences of every scored prefix, and the number of each unit's among them.
        self.distinct: list[NDArray[np.float32]] = []
        self.order: list[NDArray[np.int32]] = []
        for score in tables.score:
            values, inverse = np.unique(score, return_inverse=True)
            self.distinct.append(values)
            self.order.append(inverse.astype(np.int32))
        self.everybody = np.zeros(sweep.units, np.int32)
        self.everyone = np.arange(sweep.units, dtype=np.int32)

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Prove every combination of two members and more; returns those that a stop has left unproved."""
        unfinished: list[tuple[int, ...]] = []
        for c in self.sweep.candidates:
            if c.size < 2:
                continue
            tasks = list(zip(map(tuple, c.sequences.tolist()), c.ranks.tolist(), strict=True))
            tasks.sort(key=lambda task: task[1])
            parts = [tasks[i :: mapper.parts] for i in range(min(mapper.parts, len(tasks)))]
            done = mapper.map(
                self.chunk, copied(self.envelope), parts, f"exact thresholds, {c.size} members", len(tasks)
            )
            for part, (found, finished) in zip(parts, done, strict=True):
                if found is not None:
                    grid.merge_corners(*self.envelope, *found)
                unfinished += [sequence for sequence, _ in part[finished:]]
        return unfinished

    def chunk(self, before: Envelope, tasks: list[Ranked], control: Control) -> tuple[Corners, int]:
        """Corners of the envelope after these combinations, and how many of them are proved."""
        envelope = copied(before)
        scratch = _Scratch(self._counter(), max(map(len, self.distinct), default=1))
        for finished, (sequence, rank) in enumerate(tasks):
            if control.stopped():
                return cornered(envelope), finished
            _, offsets, caps = self.sweep.axis.variants(np.array([sequence]))
            for offset, cap in zip(offsets.tolist(), caps, strict=True):
                self._cascade(sequence, 2 * rank, offset, cap, envelope, scratch)
            control.tick(1)
        return cornered(envelope), len(tasks)

    def _counter(self) -> type[np.signedinteger]:
        """An integer that holds the sum of all changes of quality, and of all costs where these vary per unit."""
        if self.sweep.cost.per_unit is not None:
            return np.int64
        return np.int16 if len(self.envelope[0]) <= np.iinfo(np.int16).max else np.int32

    def _stages(
        self, sequence: tuple[int, ...], level_of: NDArray[np.int64]
    ) -> tuple[list[_Stage], list[NDArray[np.int64]]]:
        """Levels of each thresholded stage, and the integer quality [N] of every stage."""
        correct = [self.sweep.correct_of(sequence[:k]).astype(np.int64) for k in range(1, len(sequence) + 1)]
        stages: list[_Stage] = []
        best = correct[-1]
        for k in range(len(sequence) - 2, -1, -1):
            row = self.sweep.score_row(sequence[: k + 1])
            gain = np.maximum(best - correct[k], 0)
            bins, numbers, reached = exact.gain_levels(self.order[row], gain, level_of[: len(self.distinct[row]) + 1])
            stages.insert(0, _Stage(bins, numbers, reached))
            best = np.maximum(best, correct[k])
        return stages, correct

    def _cascade(
        self,
        sequence: tuple[int, ...],
        rank: int,
        offset: int,
        most: NDArray[np.int64],
        envelope: Envelope,
        scratch: _Scratch,
    ) -> None:
        """Every real threshold of one cascade, at costs that start at offset, with at most so many units [n] at each
        stage."""
        units, limits = self.sweep.units, self.sweep.limits
        stages, correct = self._stages(sequence, scratch.level_of)
        if any(not len(stage.numbers) for stage in stages):
            return  # a stage that cannot gain: a shorter cascade is as good and cheaper
        fees = self.sweep.cost.marginal(sequence, units)
        padding = THRESHOLDED - len(stages)
        nothing = np.zeros(units, np.int64)
        virtual = _Stage(self.everybody, np.zeros(1, np.int64), np.zeros(1, np.int64))
        first, second, third = [virtual] * padding + stages
        c1, c2, c3, c4 = [nothing] * padding + correct
        f1, f2, f3, f4 = [nothing] * padding + fees
        load, price = (np.ones(units, np.int64), int(f4[0])) if self.sweep.cost.per_unit is None else (f4, 1)
        caps, others = np.full(4, INT64_SAFE, np.int64), np.zeros((0, 4), np.int64)
        ceilings = np.zeros(0, np.int64)
        if limits:
            (caps,), (others,) = limits.padded(np.array([sequence]), THRESHOLDED + 1)
            ceilings = np.array(limits.ceilings, np.int64)
        if self.sweep.cost.per_unit is None:
            caps[-len(most) :] = np.minimum(caps[-len(most) :], most)
        low = offset + int(f1.sum())
        highest = low + int((f2 + f3 + f4).sum())
        shift = max(0, int(highest - low).bit_length() - BUCKETS.bit_length() + 1)
        exact.need_table(envelope[0], low, shift, scratch.table)
        order, starts = grid.bucket(self.everyone, first.bins, len(first.numbers) + 1)
        scratch.grow(len(second.numbers), len(third.numbers))
        exact.sweep_exact(
            order, starts[: len(first.numbers) + 1], first.reached, second.bins, third.bins, len(second.numbers),
            len(third.numbers), c2 - c1, c3 - c2, c4 - c3, np.maximum(np.maximum(c3, c4) - c2, 0), int(c1.sum()), low,
            f2, f3, load, price, caps, others, ceilings, rank, *scratch.histograms, scratch.table, low, shift,
            *envelope,
        )  # fmt: skip

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        cost, rank, level = self.envelope
        sequences = self.sweep.sequences(rank // 2)
        level_of = np.zeros(max(map(len, self.distinct), default=0) + 1, np.int64)
        points = []
        for a in corners(cost):
            sequence = sequences[int(rank[a]) // 2]
            if rank[a] % 2:
                points.append((sequence, self.sweep.values(sequence, int(level[a]))))
            else:
                points.append((sequence, self._values(sequence, int(level[a]), level_of)))
        return points

    def _values(self, sequence: tuple[int, ...], level: int, level_of: NDArray[np.int64]) -> tuple[float, ...]:
        """The least confidence above the gain confidence of each level; inf where there is none."""
        stages, _ = self._stages(sequence, level_of)
        values = []
        for k in range(len(stages) - 1, -1, -1):
            level, place = divmod(level, len(stages[k].numbers))
            distinct = self.distinct[self.sweep.score_row(sequence[: k + 1])]
            above = int(stages[k].numbers[place]) + 1
            values.append(float(distinct[above]) if above < len(distinct) else float("inf"))
        return tuple(reversed(values))


class _Scratch:
    """Reused arrays of one chunk; histograms grow to the largest cascade met."""

    def __init__(self, counter: type[np.signedinteger], distinct: int) -> None:
        self.counter = counter
        self.level_of = np.zeros(distinct + 1, np.int64)
        self.table = np.zeros(BUCKETS, np.int64)
        self.histograms: tuple[NDArray[np.signedinteger], ...] = ()
        self.shape = (0, 0)

    def grow(self, rows: int, columns: int) -> None:
        if rows > self.shape[0] or columns > self.shape[1]:
            self.shape = (max(rows, self.shape[0]), max(columns, self.shape[1]))
            tiles = (self.shape[0] // exact.TILE + 1, self.shape[1])
            self.histograms = tuple(np.zeros(shape, self.counter) for shape in (self.shape, self.shape, tiles, tiles))
