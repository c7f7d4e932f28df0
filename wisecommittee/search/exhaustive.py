"""The grid: every combination, every vector of percentile thresholds, exact counts, one envelope.

Semantics: levels are order statistics over all units, t_j = sorted[min(N-1, ceil(j N / (P-1)))] for j < P-1 and +inf; a
unit continues at level j iff fewer than j+1 of the levels are <= its confidence. Ties are never split.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError
from wisecommittee.kernels import grid
from wisecommittee.search.tables import Pool, Progress, StageTables, correct_key, score_row

Point = tuple[tuple[int, ...], tuple[float, ...]]  # members in order, thresholds (inf: nobody exits)
CHUNKS = 16  # private envelopes per size; fixed, so that work is divided alike for any number of threads
THRESHOLDED = 3  # stages the kernel sweeps; longer cascades loop over the levels of earlier ones
SCRATCH_BYTES = 1 << 20  # histograms of one batch of last members


@dataclass(frozen=True, slots=True)
class Candidates:
    """All sequences of one size. sequences int64 [n, size], ranks int64 [n] in the order of ties over all sizes."""

    size: int
    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]


def within_worst_case(pool: Pool, found: dict[int, NDArray[np.int64]], limit: float | None) -> list[Candidates]:
    """Drop what costs too much in the worst case, and rank the rest: fewer members, less worst case, names."""
    out = []
    first_rank = 0
    least = None
    for size, sequences in found.items():
        worst = pool.cost.worst(sequences)
        least = int(worst.min()) if least is None else min(least, int(worst.min()))
        if limit is not None:
            keep = worst <= pool.cost.ceiling(limit)
            sequences, worst = sequences[keep], worst[keep]
        if not len(sequences):
            continue
        order = np.lexsort((*sequences.T[::-1], worst))
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = first_rank + np.arange(len(order))
        first_rank += len(order)
        out.append(Candidates(size, sequences, ranks))
    if not out:
        assert least is not None
        assert limit is not None
        raise InfeasibleError(
            f"no committee costs at most {limit:.6g} {pool.cost.name} in the worst case; the cheapest model costs "
            f"{pool.cost.true(least):.6g}"
        )
    return out


def level_values(ordered: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """float32 [P - 1]: the finite levels of a stage, order statistics of its ascending confidences [N] over all
    units."""
    n, steps = len(ordered), levels - 1
    places = [min(n - 1, -(-j * n // steps)) for j in range(steps)]
    return ordered[places]


@dataclass(frozen=True, slots=True)
class _Stages:
    """The thresholded stages the kernel sweeps, first to last: bins, correct and marginal cost [units], levels."""

    bins: list[NDArray[np.unsignedinteger]]
    correct: list[NDArray[np.integer]]
    cost: list[NDArray[np.int64]]
    levels: list[int]

    def of(self, units: NDArray[np.bool_]) -> _Stages:
        return _Stages(
            [b[units] for b in self.bins], [c[units] for c in self.correct], [c[units] for c in self.cost], self.levels
        )


class GridSearch:
    """The sweep over all groups of all sizes; holds what the groups share."""

    def __init__(
        self,
        pool: Pool,
        tables: StageTables,
        candidates: list[Candidates],
        levels: int,
        threads: int,
        progress: Progress | None,
    ) -> None:
        self.pool, self.tables, self.candidates = pool, tables, candidates
        self.levels, self.threads, self.progress = levels, threads, progress
        self.correct = tables.correct
        units = pool.units
        # One level means ensembles: nobody exits before the end.
        self.bins = np.zeros((len(tables.score), units), np.uint8 if levels <= 256 else np.uint16)
        self.level_values: list[NDArray[np.float32]] = []
        if levels > 1:
            for row, score in enumerate(tables.score):
                values = level_values(np.sort(score), levels)
                self.level_values.append(values)
                self.bins[row] = np.searchsorted(values, score, side="right")
        self.everybody = np.zeros(units, self.bins.dtype)
        self.nothing = np.zeros(units, self.correct.dtype)
        best = int(pool.task.scale) * units
        self.counter = np.int16 if best <= np.iinfo(np.int16).max else np.int32
        self.envelope = (
            np.full(best + 1, grid.UNREACHED, np.int64),
            np.full(best + 1, -1, np.int64),
            np.full(best + 1, -1, np.int64),
        )
        self.stop = threading.Event()

    def run(self) -> None:
        """Fold every threshold vector of every combination into the envelope."""
        total = sum(len(c.sequences) for c in self.candidates)
        done = 0
        for c in self.candidates:
            groups = self._groups(c)
            chunks = [groups[i::CHUNKS] for i in range(min(CHUNKS, len(groups)))]
            with ThreadPoolExecutor(self.threads) as workers:
                try:
                    for envelope, count in workers.map(self._chunk, chunks):
                        grid.merge(*self.envelope, *envelope)
                        done += count
                        if self.progress:
                            self.progress("thresholds", done, total)
                except BaseException:
                    self.stop.set()
                    workers.shutdown(cancel_futures=True)
                    raise

    def _groups(self, c: Candidates) -> list[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]]:
        """(shared first members, last members, ranks), cheapest first so that the envelope prunes early."""
        heads = c.sequences[:, :-1]
        starts = np.flatnonzero(np.r_[True, (heads[1:] != heads[:-1]).any(axis=1)]) if c.size > 1 else np.array([0])
        stops = np.r_[starts[1:], len(heads)]
        groups = [
            (tuple(map(int, heads[a])), c.sequences[a:b, -1], c.ranks[a:b]) for a, b in zip(starts, stops, strict=True)
        ]
        return sorted(groups, key=lambda group: int(group[2].min()))

    def _chunk(self, groups: list[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]]) -> tuple[Any, int]:
        envelope = tuple(array.copy() for array in self.envelope)
        count = 0
        for head, lasts, ranks in groups:
            if self.stop.is_set():
                break
            self._group(head, lasts, ranks, envelope)
            count += len(lasts)
        return envelope, count

    def _group(
        self, head: tuple[int, ...], lasts: NDArray[np.int64], ranks: NDArray[np.int64], envelope: tuple[Any, ...]
    ) -> None:
        """Offer every threshold vector of the cascades head + (last,) to the envelope."""
        pool, find = self.pool, self.tables.prefixes.find
        prefixes = [head[:k] for k in range(1, len(head) + 1)]
        stage_bins = [self._stage_bins(prefix) for prefix in prefixes]
        stage_correct = [self.correct[find[correct_key(pool, prefix)]] for prefix in prefixes]
        last_correct = np.stack([self.correct[find[correct_key(pool, (*head, int(m)))]] for m in lasts], axis=1)
        stage_cost, last_cost, unit_cost = self._marginal_costs(head, lasts)
        # Shorter cascades are padded in front with stages that everybody continues and that cost nothing.
        padding = max(0, THRESHOLDED - len(head))
        nothing = np.zeros(pool.units, np.int64)
        inner = _Stages(
            bins=([self.everybody] * padding + stage_bins)[-THRESHOLDED:],
            correct=([self.nothing] * padding + stage_correct)[-THRESHOLDED:],
            cost=([nothing] * padding + stage_cost)[-THRESHOLDED:],
            levels=([1] * padding + [self.levels] * len(head))[-THRESHOLDED:],
        )
        outer = max(0, len(head) - THRESHOLDED)
        if not outer:
            self._sweep(inner, last_correct, last_cost, unit_cost, ranks, 0, 0, 0, envelope)
            return
        for place, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            # Units that leave at an outer stage are settled; the kernel sees the others.
            continues = np.ones(pool.units, dtype=bool)
            settled_correct = settled_cost = 0
            for level, bins, right, paid in zip(vector, stage_bins, stage_correct, stage_cost, strict=False):
                settled_cost += int(paid[continues].sum())
                settled_correct += int(right[continues & (bins > level)].sum(dtype=np.int64))
                continues &= bins <= level
            if continues.any():
                rest = None if unit_cost is None else unit_cost[continues]
                self._sweep(
                    inner.of(continues), last_correct[continues], last_cost, rest, ranks,
                    settled_correct, settled_cost, place * self.levels**THRESHOLDED, envelope,
                )  # fmt: skip

    def _sweep(
        self,
        inner: _Stages,
        last_correct: NDArray[np.integer],
        last_cost: NDArray[np.int64],
        unit_cost: NDArray[np.int64] | None,
        ranks: NDArray[np.int64],
        settled_correct: int,
        settled_cost: int,
        outer_level: int,
        envelope: tuple[Any, ...],
    ) -> None:
        """The kernel over three stages and all last members, in batches whose histograms fit the cache."""
        (b1, b2, b3), (w1, w2, w3) = inner.bins, inner.cost
        c1, c2, c3 = (c.astype(np.int64) for c in inner.correct)
        levels1, levels2, levels3 = inner.levels
        base = np.empty((levels1, levels2), np.int64)
        spent = np.empty_like(base)
        grid.pair_table(b1, b2, c2 - c1, c3 - c2, settled_correct + int(c1.sum()), base)
        grid.pair_table(b1, b2, w2, w3, settled_cost + int(w1.sum()), spent)
        order, starts = grid.bucket(b1, levels1)
        radix = np.array([self.levels**2, self.levels], np.int64)
        shape = (levels2, levels3)
        batch = max(1, SCRATCH_BYTES // (levels2 * levels3 * np.dtype(self.counter).itemsize))
        for a in range(0, len(ranks), batch):
            some = slice(a, a + batch)
            members = len(ranks[some])
            varying = np.zeros((0, 0), np.int64) if unit_cost is None else np.ascontiguousarray(unit_cost[:, some])
            counts = np.empty(shape, self.counter)
            gains = np.empty((members, *shape), self.counter)
            costs = np.empty((0, 0, 0) if unit_cost is None else (members, *shape), np.int64)
            grid.sweep(
                order, starts, b2, b3, inner.correct[2], np.ascontiguousarray(last_correct[:, some]), base, spent,
                last_cost[some], varying, ranks[some], outer_level, radix, counts, gains, costs, *envelope,
            )  # fmt: skip

    def _stage_bins(self, sequence: tuple[int, ...]) -> NDArray[np.unsignedinteger]:
        return self.everybody if self.levels == 1 else self.bins[score_row(self.pool, self.tables, sequence)]

    def _marginal_costs(
        self, head: tuple[int, ...], lasts: NDArray[np.int64]
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64] | None]:
        """Marginal cost of each stage of the head as int64 [N], of each last member as int64 [m] or [N, m]."""
        cost, units = self.pool.cost, self.pool.units
        if cost.per_unit is not None:
            return (
                [cost.per_unit[m] for m in head],
                np.zeros(len(lasts), np.int64),
                np.ascontiguousarray(cost.per_unit[lasts].T),
            )
        sequences = np.array([[*head, m] for m in lasts], np.int64)
        cumulative = cost.cumulative(sequences)
        marginal = np.diff(cumulative, axis=1, prepend=0)
        return [np.full(units, step) for step in marginal[0, :-1]], np.ascontiguousarray(marginal[:, -1]), None

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        cost, rank, level = self.envelope
        sequences = self.sequences(rank)
        return [(sequences[int(rank[a])], self.values(sequences[int(rank[a])], int(level[a]))) for a in corners(cost)]

    def sequences(self, ranks: NDArray[np.int64]) -> dict[int, tuple[int, ...]]:
        """The sequences of these ranks."""
        found: dict[int, tuple[int, ...]] = {}
        for c in self.candidates:
            mask = np.isin(c.ranks, ranks)
            rows = map(tuple, c.sequences[mask].tolist())
            found.update(zip(c.ranks[mask].tolist(), rows, strict=True))
        return found

    def values(self, sequence: tuple[int, ...], level: int) -> tuple[float, ...]:
        """The thresholds behind a level index."""
        places = []
        for _ in range(len(sequence) - 1):
            level, place = divmod(level, self.levels)
            places.append(place)
        return tuple(self._value(sequence, k, place) for k, place in enumerate(reversed(places)))

    def _value(self, sequence: tuple[int, ...], stage: int, level: int) -> float:
        if level >= self.levels - 1:
            return float("inf")
        return float(self.level_values[score_row(self.pool, self.tables, sequence[: stage + 1])][level])


def corners(cost: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers correct at which an envelope steps: the points of its frontier."""
    above = np.r_[cost[1:], grid.UNREACHED]
    return np.flatnonzero((cost < above) & (cost != grid.UNREACHED))
