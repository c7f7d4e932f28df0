"""The exact mode: the optimum over all real thresholds, with the grid's envelope as a warm start.

Levels are the gain confidences of each stage (see kernels/exact.py), so a few hundred thresholds per stage stand for
all N of them; every cell that is not evaluated is bounded by the envelope, so what comes out is certified.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError
from wisecommittee.kernels import exact, grid
from wisecommittee.search.exhaustive import CHUNKS, THRESHOLDED, GridSearch, Point, corners
from wisecommittee.search.tables import Progress, correct_key, score_row

BUCKETS = 8192  # of the table that answers how many correct a cost needs


@dataclass(frozen=True, slots=True)
class _Stage:
    """Levels of one stage of one cascade: bins int32 [N], distinct numbers of the levels, gain at or below each."""

    bins: NDArray[np.int32]
    numbers: NDArray[np.int64]
    reached: NDArray[np.int64]


class ExactSearch:
    """Proves the envelope of a finished grid search; ranks in it become 2 rank + 1 (grid) and 2 rank (exact)."""

    def __init__(self, sweep: GridSearch, progress: Progress | None) -> None:
        longest = max(c.size for c in sweep.candidates)
        if longest > THRESHOLDED + 1:
            raise UsageError(
                f"--exact proves cascades of up to {THRESHOLDED + 1} members; lower --max-models {longest}"
            )
        if sweep.pool.cost.per_unit is not None:
            raise UsageError(f"--exact needs a cost that is the same for every unit; {sweep.pool.cost.name} varies")
        self.sweep, self.progress = sweep, progress
        cost, rank, level = sweep.envelope
        self.envelope = (cost, np.where(rank >= 0, 2 * rank + 1, rank), level)
        # Distinct confidences of every scored prefix, and the number of each unit's among them.
        self.distinct: list[NDArray[np.float32]] = []
        self.order: list[NDArray[np.int64]] = []
        for score in sweep.tables.score:
            values, inverse = np.unique(score, return_inverse=True)
            self.distinct.append(values)
            self.order.append(inverse.astype(np.int64))
        self.everybody = np.zeros(sweep.pool.units, np.int32)

    def run(self) -> list[Point]:
        longer = [c for c in self.sweep.candidates if c.size > 1]
        total, done = sum(len(c.sequences) for c in longer), 0
        for c in longer:
            tasks = list(zip(map(tuple, c.sequences.tolist()), c.ranks.tolist(), strict=True))
            tasks.sort(key=lambda task: task[1])
            chunks = [tasks[i::CHUNKS] for i in range(min(CHUNKS, len(tasks)))]
            with ThreadPoolExecutor(self.sweep.threads) as workers:
                try:
                    for envelope, count in workers.map(self._chunk, chunks):
                        grid.merge(*self.envelope, *envelope)
                        done += count
                        if self.progress:
                            self.progress("exact thresholds", done, total)
                except BaseException:
                    self.sweep.stop.set()
                    workers.shutdown(cancel_futures=True)
                    raise
        return self._points()

    def _chunk(self, tasks: list[tuple[tuple[int, ...], int]]) -> tuple[Any, int]:
        envelope = tuple(array.copy() for array in self.envelope)
        scratch = _Scratch(self.sweep.counter, max(map(len, self.distinct), default=1))
        count = 0
        for sequence, rank in tasks:
            if self.sweep.stop.is_set():
                break
            self._cascade(sequence, 2 * rank, envelope, scratch)
            count += 1
        return envelope, count

    def _stages(
        self, sequence: tuple[int, ...], level_of: NDArray[np.int64]
    ) -> tuple[list[_Stage], list[NDArray[np.int64]]]:
        """Levels of each thresholded stage, and the integer quality [N] of every stage."""
        pool, tables = self.sweep.pool, self.sweep.tables
        find = tables.prefixes.find
        correct = [
            tables.correct[find[correct_key(pool, sequence[:k])]].astype(np.int64) for k in range(1, len(sequence) + 1)
        ]
        stages: list[_Stage] = []
        best = correct[-1]
        for k in range(len(sequence) - 2, -1, -1):
            row = score_row(pool, tables, sequence[: k + 1])
            gain = np.maximum(best - correct[k], 0)
            bins, numbers, reached = exact.gain_levels(self.order[row], gain, level_of[: len(self.distinct[row]) + 1])
            stages.insert(0, _Stage(bins, numbers, reached))
            best = np.maximum(best, correct[k])
        return stages, correct

    def _cascade(self, sequence: tuple[int, ...], rank: int, envelope: tuple[Any, ...], scratch: _Scratch) -> None:
        pool = self.sweep.pool
        stages, correct = self._stages(sequence, scratch.level_of)
        if any(not len(stage.numbers) for stage in stages):
            return  # a stage that cannot gain: a shorter cascade is as good and cheaper
        marginal = np.diff(pool.cost.cumulative(np.array([sequence]))[0], prepend=0)
        padding = THRESHOLDED - len(stages)
        nothing = np.zeros(pool.units, np.int64)
        virtual = _Stage(self.everybody, np.zeros(1, np.int64), np.zeros(1, np.int64))
        first, second, third = [virtual] * padding + stages
        c1, c2, c3, c4 = [nothing] * padding + correct
        f1, f2, f3, f4 = [0] * padding + marginal.tolist()
        low = pool.units * f1
        highest = pool.units * (f1 + f2 + f3 + f4)
        shift = max(0, int(highest - low).bit_length() - BUCKETS.bit_length() + 1)
        exact.need_table(envelope[0], low, shift, scratch.table)
        order, starts = grid.bucket(first.bins, len(first.numbers) + 1)
        scratch.grow(len(second.numbers), len(third.numbers))
        exact.sweep_exact(
            order, starts[: len(first.numbers) + 1], first.reached, second.bins, third.bins, len(second.numbers),
            len(third.numbers), c2 - c1, c3 - c2, c4 - c3, np.maximum(np.maximum(c3, c4) - c2, 0), int(c1.sum()), low,
            f2, f3, f4, rank, *scratch.histograms, scratch.table, low, shift, *envelope,
        )  # fmt: skip

    def _points(self) -> list[Point]:
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
            distinct = self.distinct[score_row(self.sweep.pool, self.sweep.tables, sequence[: k + 1])]
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
