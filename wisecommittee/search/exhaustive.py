"""The grid: every combination, every vector of percentile thresholds, exact counts, one envelope.

Semantics: levels are order statistics over all units, t_j = sorted[min(N-1, ceil(j N / (P-1)))] for j < P-1 and +inf; a
unit continues at level j iff fewer than j+1 of the levels are <= its confidence. Ties are never split.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError
from wisecommittee.kernels import grid
from wisecommittee.search.axis import Axis
from wisecommittee.search.limits import Limits
from wisecommittee.search.tables import Pool, StageTables, Tiers, members_of
from wisecommittee.search.workers import Control, Mapper
from wisecommittee.tasks import Segmentation

Point = tuple[tuple[int, ...], tuple[float, ...]]  # tiers in order, thresholds (inf: nobody exits)
Group = tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]  # shared first tiers, last tiers, ranks
Envelope = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # cost, rank, level by number correct
THRESHOLDED = 3  # stages the kernel sweeps; longer cascades loop over the levels of earlier ones
SCRATCH_BYTES = 1 << 20  # histograms of one batch of last members

Corners = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # correct, and the same


@dataclass(frozen=True, slots=True)
class Candidates:
    """All sequences of `size` stages. sequences int64 [n, size] of tiers, ranks int64 [n] in the order of ties over all
    sizes."""

    size: int
    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]


def within_worst_case(pool: Pool, found: dict[int, NDArray[np.int64]], limit: float | None) -> list[Candidates]:
    """Drop what costs too much in the worst case, and rank the rest: fewer members, fewer stages, less worst case,
    names stage by stage."""
    kept: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    least = None
    for sequences in found.values():
        worst = pool.cost.worst(sequences)
        least = int(worst.min()) if least is None else min(least, int(worst.min()))
        if limit is not None:
            keep = worst <= pool.cost.ceiling(limit)
            sequences, worst = sequences[keep], worst[keep]
        if len(sequences):
            kept.append((sequences, worst))
    if not kept:
        assert least is not None
        assert limit is not None
        raise InfeasibleError(
            f"no committee costs at most {limit:.6g} {pool.cost.name} in the worst case; the cheapest model costs "
            f"{pool.cost.true(least):.6g}"
        )
    return _ranked(kept, pool.tiers)


def _ranked(kept: list[tuple[NDArray[np.int64], NDArray[np.int64]]], tiers: Tiers | None) -> list[Candidates]:
    """Candidates of these (sequences, worst cases), one pair for each number of stages, ascending."""
    if tiers is None:
        names = members = None
    else:
        names = np.argsort(sorted(range(len(tiers)), key=lambda step: tiers[step]))
        members = np.array([len(tier) for tier in tiers])
    out, counts = [], []
    for sequences, _ in kept:
        n, size = sequences.shape
        out.append(Candidates(size, sequences, np.empty(n, np.int64)))
        counts.append(np.full(n, size) if members is None else members[sequences].sum(axis=1))
    first = 0
    for count in sorted({int(c) for some in counts for c in np.unique(some)}):
        for (sequences, worst), some, candidates in zip(kept, counts, out, strict=True):
            at = np.flatnonzero(some == count)
            here = sequences[at] if names is None else names[sequences[at]]
            order = np.lexsort((*here.T[::-1], worst[at]))
            candidates.ranks[at[order]] = first + np.arange(len(at))
            first += len(at)
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


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Limits of one group as the kernel takes them. caps int64 [m, K], below 0 where a stage left behind broke them,
    others int64 [m, Q, K], ceilings int64 [Q]; m = 0 where nothing is limited. met : whether anything is still allowed.
    """

    caps: NDArray[np.int64]
    others: NDArray[np.int64]
    ceilings: NDArray[np.int64]
    met: bool = True

    @classmethod
    def of(cls, limits: Limits | None, sequences: NDArray[np.int64], caps: NDArray[np.int64], units: int) -> _Bounds:
        """caps : int64 [m, n] beside the limits."""
        m, n = sequences.shape
        stages = max(THRESHOLDED + 1, n)
        if not limits and (caps >= units).all():
            return cls(np.zeros((0, 4), np.int64), np.zeros((0, 0, 4), np.int64), np.zeros(0, np.int64))
        padded = np.pad(caps, ((0, 0), (stages - n, 0)), constant_values=units)
        if not limits:
            return cls(padded, np.zeros((m, 0, stages), np.int64), np.zeros(0, np.int64))
        own, others = limits.padded(sequences, stages)
        return cls(np.minimum(own, padded), others, np.array(limits.ceilings, np.int64))

    def after(self, units: int) -> _Bounds:
        """What is left after the first stage (the same for the whole group), which so many units run."""
        if not len(self.caps):
            return self
        kept = units <= self.caps[:, 0]
        return _Bounds(
            np.where(kept[:, None], self.caps[:, 1:], -1),
            np.ascontiguousarray(self.others[:, :, 1:]),
            self.ceilings - self.others[0, :, 0] * units,
            bool(kept.any()),
        )


class GridSearch:
    """The sweep over all groups of all sizes; holds what the groups share, and pickles: it travels to workers."""

    def __init__(
        self,
        pool: Pool,
        tables: StageTables,
        candidates: list[Candidates],
        levels: int,
        limits: Limits | None = None,
        axis: str = "average",
        *,
        threads: int = 1,
    ) -> None:
        self.candidates, self.levels, self.limits = candidates, levels, limits
        self.axis = Axis.of(axis, pool.cost, pool.units, [c.sequences for c in candidates])
        self.cost, self.units, self.tiers = self.axis.cost, pool.units, pool.tiers
        self.ordered, self.stored_score = pool.combine.ordered, isinstance(pool.confidence, str)
        self.find, self.rows = tables.prefixes.find, tables.score_row
        self.correct = tables.correct
        # One level means ensembles: nobody exits before the end.
        self.bins = np.zeros((len(tables.score), self.units), np.uint8 if levels <= 256 else np.uint16)
        self.level_values: list[NDArray[np.float32]] = []
        if levels > 1:
            with ThreadPoolExecutor(threads) as workers:
                self.level_values += workers.map(self._bin, range(len(tables.score)), tables.score)
        self.everybody = np.zeros(self.units, self.bins.dtype)
        self.nothing = np.zeros(self.units, self.correct.dtype)
        assert not isinstance(pool.task, Segmentation)  # skyline.py
        best = int(pool.task.scale) * self.units
        self.counter: type[np.signedinteger] = np.int16 if best <= np.iinfo(np.int16).max else np.int32
        self.envelope: Envelope = (
            np.full(best + 1, grid.UNREACHED, np.int64),
            np.full(best + 1, -1, np.int64),
            np.full(best + 1, -1, np.int64),
        )

    def _bin(self, row: int, score: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill the bins of a row of confidences; returns its levels."""
        values = level_values(np.sort(score), self.levels)
        self.bins[row] = np.searchsorted(values, score, side="right")
        return values

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Fold every threshold vector of every combination into the envelope; returns the combinations that a stop
        has left unfinished. Single models are always finished."""
        total = sum(len(c.sequences) for c in self.candidates)
        unfinished: list[tuple[int, ...]] = []
        for c in self.candidates:
            groups = self._groups(c)
            parts = [groups[i :: mapper.parts] for i in range(min(mapper.parts, len(groups)))]
            name = f"thresholds, {c.size} stage{'s' if c.size > 1 else ''}"
            done = mapper.map(self.chunk, copied(self.envelope), parts, name, len(c.sequences))
            for part, (found, finished) in zip(parts, done, strict=True):
                if found is not None:
                    grid.merge_corners(*self.envelope, *found)
                unfinished += [(*head, int(m)) for head, lasts, _ in part[finished:] for m in lasts]
        assert len(unfinished) <= total
        return unfinished

    def correct_of(self, sequence: tuple[int, ...]) -> NDArray[np.integer]:
        """Integer quality [N] of the prediction after these stages."""
        return self.correct.row(self.find[self._key(sequence)])

    def score_row(self, sequence: tuple[int, ...]) -> int:
        """Row of the confidence after these stages."""
        if self.stored_score:
            return members_of(self.tiers, sequence)[-1]
        return int(self.rows[self.find[self._key(sequence)]])

    def _key(self, sequence: tuple[int, ...]) -> tuple[int, ...]:
        members = members_of(self.tiers, sequence)
        return members[-1:] if self.ordered else tuple(sorted(members))

    def _groups(self, c: Candidates) -> list[Group]:
        """Cheapest first, so that the envelope prunes early."""
        heads = c.sequences[:, :-1]
        starts = np.flatnonzero(np.r_[True, (heads[1:] != heads[:-1]).any(axis=1)]) if c.size > 1 else np.array([0])
        stops = np.r_[starts[1:], len(heads)]
        groups = [
            (tuple(map(int, heads[a])), c.sequences[a:b, -1], c.ranks[a:b]) for a, b in zip(starts, stops, strict=True)
        ]
        return sorted(groups, key=lambda group: int(group[2].min()))

    def chunk(self, before: Envelope, groups: list[Group], control: Control) -> tuple[Corners, int]:
        """Corners of the envelope after these groups, and how many of them are finished."""
        envelope = copied(before)
        for finished, (head, lasts, ranks) in enumerate(groups):
            if head and control.stopped():
                return cornered(envelope), finished
            if not self.group(head, lasts, ranks, envelope, control):
                return cornered(envelope), finished
            control.tick(len(lasts))
        return cornered(envelope), len(groups)

    def group(
        self,
        head: tuple[int, ...],
        lasts: NDArray[np.int64],
        ranks: NDArray[np.int64],
        envelope: Envelope,
        control: Control,
    ) -> bool:
        """Offer every threshold vector of the cascades head + (last,) to the envelope; False if stopped on the way."""
        prefixes = [head[:k] for k in range(1, len(head) + 1)]
        stage_bins = [self._stage_bins(prefix) for prefix in prefixes]
        stage_correct = [self.correct_of(prefix) for prefix in prefixes]
        sequences = np.array([[*head, m] for m in lasts], np.int64)
        rows, offsets, caps = self.axis.variants(sequences)
        lasts, ranks = lasts[rows], ranks[rows]
        last_correct = np.stack([self.correct_of((*head, int(m))) for m in lasts], axis=1)
        stage_cost, last_cost, unit_cost = self.marginal_costs(head, lasts)
        bound = _Bounds.of(self.limits, sequences[rows], caps, self.units)
        # Shorter cascades are padded in front with stages that everybody continues and that cost nothing.
        padding = max(0, THRESHOLDED - len(head))
        nothing = np.zeros(self.units, np.int64)
        inner = _Stages(
            bins=([self.everybody] * padding + stage_bins)[-THRESHOLDED:],
            correct=([self.nothing] * padding + stage_correct)[-THRESHOLDED:],
            cost=([nothing] * padding + stage_cost)[-THRESHOLDED:],
            levels=([1] * padding + [self.levels] * len(head))[-THRESHOLDED:],
        )
        outer = max(0, len(head) - THRESHOLDED)
        if not outer:
            self._sweep(inner, last_correct, offsets, last_cost, unit_cost, ranks, 0, 0, 0, bound, envelope)
            return True
        for place, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            if control.stopped():
                return False
            # Units that leave at an outer stage are settled; the kernel sees the others.
            continues = np.ones(self.units, dtype=bool)
            settled_correct = settled_cost = 0
            rest = bound
            for level, bins, right, paid in zip(vector, stage_bins, stage_correct, stage_cost, strict=False):
                rest = rest.after(int(continues.sum()))
                settled_cost += int(paid[continues].sum())
                settled_correct += int(right[continues & (bins > level)].sum(dtype=np.int64))
                continues &= bins <= level
            if continues.any() and rest.met:
                varying = None if unit_cost is None else unit_cost[continues]
                self._sweep(
                    inner.of(continues), last_correct[continues], offsets, last_cost, varying, ranks,
                    settled_correct, settled_cost, place * self.levels**THRESHOLDED, rest, envelope,
                )  # fmt: skip
        return True

    def _sweep(
        self,
        inner: _Stages,
        last_correct: NDArray[np.integer],
        offsets: NDArray[np.int64],
        last_cost: NDArray[np.int64],
        unit_cost: NDArray[np.int64] | None,
        ranks: NDArray[np.int64],
        settled_correct: int,
        settled_cost: int,
        outer_level: int,
        bound: _Bounds,
        envelope: Envelope,
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
                offsets[some], last_cost[some], varying, ranks[some], outer_level, radix, bound.caps[some],
                bound.others[some], bound.ceilings, counts, gains, costs, *envelope,
            )  # fmt: skip

    def _stage_bins(self, sequence: tuple[int, ...]) -> NDArray[np.unsignedinteger]:
        return self.everybody if self.levels == 1 else self.bins[self.score_row(sequence)]

    def marginal_costs(
        self, head: tuple[int, ...], lasts: NDArray[np.int64]
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64] | None]:
        """Marginal cost of each stage of the head as int64 [N], of each last member as int64 [m] or [N, m]."""
        cost, units = self.cost, self.units
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
        return float(self.level_values[self.score_row(sequence[: stage + 1])][level])


def copied(envelope: Envelope) -> Envelope:
    cost, rank, level = envelope
    return cost.copy(), rank.copy(), level.copy()


def cornered(envelope: Envelope) -> Corners:
    """What of an envelope is worth sending: at ten million units a whole one is 240 MB."""
    at = corners(envelope[0])
    cost, rank, level = (array[at] for array in envelope)
    return at, cost, rank, level


def corners(cost: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers correct at which an envelope steps: the points of its frontier."""
    above = np.r_[cost[1:], grid.UNREACHED]
    return np.flatnonzero((cost < above) & (cost != grid.UNREACHED))
