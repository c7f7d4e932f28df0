"""The grid: every combination, every vector of percentile thresholds, exact counts, one envelope.

Semantics: levels are order statistics over all units, t_j = sorted[min(N-1, ceil(j N / (P-1)))] for j < P-1 and +inf; a
unit continues at level j iff fewer than j+1 of the levels are <= its confidence. Ties are never split, nor confidences
that only rounding parts (committees/scale.py)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.kernels.sweeps import grid, tiles
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.cost_axis import Axis
from wisecommittee.searches.grid.levels import level_values, padded_levels
from wisecommittee.searches.limits import Limits
from wisecommittee.searches.stages.pool import Pool, members_of
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import Control, Mapper, Workers

Point = tuple[tuple[int, ...], tuple[float, ...]]  # tiers in order, thresholds (inf: nobody exits)


Ranked = tuple[tuple[int, ...], int]  # a combination and its rank


Envelope = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # cost, rank, level by number correct


THRESHOLDED = 3  # stages the kernel sweeps at once, after looping over the levels of one before them


SCRATCH_BYTES = 1 << 20  # histograms of one batch of last members


Corners = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # correct, and the same


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of cascades as the kernel takes them. caps int64 [m, K], below 0 where a stage left behind broke them,
    others int64 [m, Q, K], ceilings int64 [Q]; m = 0 where nothing is limited. met : whether anything is still allowed.
    """

    caps: NDArray[np.int64]
    others: NDArray[np.int64]
    ceilings: NDArray[np.int64]
    met: bool = True

    @classmethod
    def of(cls, limits: Limits | None, sequences: NDArray[np.int64], caps: NDArray[np.int64], units: int) -> Bounds:
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

    def of_rows(self, rows: slice) -> Bounds:
        return Bounds(self.caps[rows], self.others[rows], self.ceilings)

    def after(self, units: int) -> Bounds:
        """What is left after the first stage (the same for the whole group), which so many units run."""
        if not len(self.caps):
            return self
        kept = units <= self.caps[:, 0]
        return Bounds(
            np.where(kept[:, None], self.caps[:, 1:], -1),
            np.ascontiguousarray(self.others[:, :, 1:]),
            self.ceilings - self.others[0, :, 0] * units,
            bool(kept.any()),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What one chunk does: groups of sequences that share all stages but the last, one group after the other.

    sequences : int64 [n, size]; ranks : int64 [n]; starts : int64 [g + 1] where groups start
    """

    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def cut(cls, c: Candidates, parts: int) -> list[Part]:
        """All groups of these candidates dealt to so many parts, cheapest first, so that the envelope prunes early."""
        heads = c.sequences[:, :-1]
        starts = np.flatnonzero(np.r_[True, (heads[1:] != heads[:-1]).any(axis=1)]) if c.size > 1 else np.array([0])
        stops = np.r_[starts[1:], len(heads)]
        order = np.argsort(np.minimum.reduceat(c.ranks, starts), kind="stable")
        out = []
        for i in range(min(parts, len(starts))):
            groups = order[i::parts]
            sizes = (stops - starts)[groups]
            begins = np.r_[0, np.cumsum(sizes)]
            rows = np.repeat(starts[groups] - begins[:-1], sizes) + np.arange(begins[-1])
            out.append(cls(c.sequences[rows], c.ranks[rows], begins))
        return out

    def from_group(self, group: int) -> list[tuple[int, ...]]:
        """The sequences of this group and all later ones."""
        return [tuple(row) for row in self.sequences[self.starts[group] :].tolist()]


@dataclass(frozen=True, slots=True)
class Group:
    """Cascades head + (last,), each once for every way in which its costs count (axis.py).

    lasts, ranks, offsets : int64 [m]; fees : int64 [m, size] what each stage adds to the cost, where that is the same
    for every unit.
    """

    head: tuple[int, ...]
    lasts: NDArray[np.int64]
    ranks: NDArray[np.int64]
    offsets: NDArray[np.int64]
    fees: NDArray[np.int64] | None
    bounds: Bounds


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
        self.bins = np.zeros((len(tables.score), self.units), np.uint8 if levels < 256 else np.uint16)
        self.scale = scale_of(pool.confidence)
        self.level_values: list[NDArray[np.float32]] = []
        if levels > 1:
            with Workers(threads) as workers:
                self.level_values += workers.map(self._bin, range(len(tables.score)), tables.score)
        self.everybody = np.zeros(self.units, self.bins.dtype)
        self.everyone = np.arange(self.units, dtype=np.int32)
        self.nothing = np.zeros(self.units, np.int32)
        assert pool.task.width == 1  # miou.py
        best = pool.task.scale * self.units
        self.envelope: Envelope = (
            np.full(best + 1, grid.UNREACHED, np.int64),
            np.full(best + 1, -1, np.int64),
            np.full(best + 1, -1, np.int64),
        )

    def _bin(self, row: int, score: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill the bins of a row of confidences; returns its levels."""
        values = level_values(self.scale.lowest(np.sort(score)), self.levels)
        padded = padded_levels(values)
        grid.bin_units(score, padded, self.bins[row])
        return values

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Fold every threshold vector of every combination into the envelope; returns the combinations that a stop
        has left unfinished. Single models are always finished."""
        unfinished: list[tuple[int, ...]] = []
        for c in self.candidates:
            parts = Part.cut(c, mapper.parts)
            name = f"thresholds, {c.size} stage{'s' if c.size > 1 else ''}"
            done = mapper.map(self.chunk, copied(self.envelope), parts, name, len(c.sequences))
            for part, (found, finished) in zip(parts, done, strict=True):
                if found is not None:
                    grid.merge_corners(*self.envelope, *found)
                unfinished += part.from_group(finished)
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

    def chunk(self, before: Envelope, part: Part, control: Control) -> tuple[Corners, int]:
        """Corners of the envelope after these groups, and how many of them are finished."""
        envelope = copied(before)
        for finished, group in enumerate(self.groups(part)):
            if group.head and control.stopped():
                return cornered(envelope), finished
            if not self.group(group, envelope, control):
                return cornered(envelope), finished
            control.tick(int(part.starts[finished + 1] - part.starts[finished]))
        return cornered(envelope), len(part.starts) - 1

    def groups(self, part: Part) -> Iterator[Group]:
        """The groups of a part, in order."""
        rows, offsets, caps = self.axis.variants(part.sequences)
        starts = np.searchsorted(rows, part.starts)
        sequences, ranks = part.sequences[rows], part.ranks[rows]
        bounds = Bounds.of(self.limits, sequences, caps, self.units)
        fees = None
        if self.cost.per_unit is None:
            fees = np.diff(self.cost.cumulative(sequences), axis=1, prepend=0)
        for a, b in itertools.pairwise(starts.tolist()):
            here = slice(a, b)
            yield Group(
                tuple(sequences[a, :-1].tolist()), sequences[here, -1], ranks[here], offsets[here],
                None if fees is None else fees[here], bounds.of_rows(here),
            )  # fmt: skip

    def group(self, group: Group, envelope: Envelope, control: Control) -> bool:
        """Offer every threshold vector of a group to the envelope; False if stopped on the way."""
        head, size = group.head, len(group.head)
        # Shorter cascades are padded in front with stages that everybody continues and that cost nothing.
        padding = max(0, THRESHOLDED + 1 - size)
        prefixes = [head[:k] for k in range(1, size + 1)]
        bins = [self.everybody] * padding + [self._stage_bins(prefix) for prefix in prefixes]
        right = [self.nothing] * padding + [self.correct_of(prefix).astype(np.int32) for prefix in prefixes]
        levels = [1] * padding + [self.levels] * size
        fees, last_fees, unit_fees, last_unit_fees = self._fees(group, padding)
        changed = self.changes(head, group.lasts)
        scratch = self._scratch(len(group.lasts), *levels[-2:])
        # Units that leave before the last four of these stages are settled here.
        outer = len(bins) - THRESHOLDED - 1
        for place, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            if place and control.stopped():
                return False
            waiting, bounds = np.ones(self.units, dtype=bool), group.bounds
            correct = spent = 0
            for k in range(padding, outer + 1):
                bounds = bounds.after(int(waiting.sum()))
                spent += int(fees[k]) * int(waiting.sum()) + int(unit_fees[k][waiting].sum() if unit_fees.size else 0)
                leaves = waiting & (bins[k] > vector[k]) if k < outer else waiting
                correct += int(right[k][leaves].sum(dtype=np.int64))
                if k < outer:
                    waiting &= ~leaves
            if bounds.met:
                grid.sweep_group(
                    self.everyone, np.where(waiting, bins[outer], self.bins.dtype.type(levels[outer])),
                    tuple(bins[-THRESHOLDED:]), tuple(levels[outer:]), tuple(right[outer:]), *changed,
                    fees[-THRESHOLDED:], unit_fees[-THRESHOLDED:], last_fees, last_unit_fees, correct, spent,
                    group.offsets, group.ranks, place * self.levels ** (THRESHOLDED + 1), bounds.caps, bounds.others,
                    bounds.ceilings, *scratch, *envelope,
                )  # fmt: skip
        return True

    def changes(
        self, head: tuple[int, ...], lasts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """The units whose answer each last member changes, as `tiles.changed_words` gives them."""
        nodes = [self.find[self._key((*head, m))] for m in lasts.tolist()]
        if not self.correct.bits:
            return tiles.changed_grades(self.correct_of(head) if head else self.nothing, self.correct.rows(nodes))
        words = self.correct.words
        before = words[self.find[self._key(head)]] if head else np.zeros(words.shape[1], np.uint64)
        return tiles.changed_words(before, words[nodes])

    def _fees(
        self, group: Group, padding: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Marginal costs of the stages but the last int64 [K] and of the last members int64 [m]; where they vary per
        unit, int64 [K, N] and [m, N] beside zeros. Elsewhere these have no columns."""
        stages, members = padding + len(group.head), len(group.lasts)
        fees, last_fees = np.zeros(stages, np.int64), np.zeros(members, np.int64)
        if self.cost.per_unit is None:
            assert group.fees is not None
            fees[padding:] = group.fees[0, :-1]
            last_fees[:] = group.fees[:, -1]
            return fees, last_fees, np.zeros((stages, 0), np.int64), np.zeros((members, 0), np.int64)
        unit_fees = np.zeros((stages, self.units), np.int64)
        unit_fees[padding:] = self.cost.per_unit[list(group.head)]
        return fees, last_fees, unit_fees, self.cost.per_unit[group.lasts]

    def _scratch(
        self, members: int, rows: int, columns: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Histograms of one batch of last members, which fit the cache."""
        varying = self.cost.per_unit is not None
        each = rows * columns * (4 + 8 * varying)
        batch = min(members, max(1, SCRATCH_BYTES // each))
        shape = (batch, rows, columns)
        costs = np.empty(shape if varying else (0, 0, 0), np.int64)
        return np.empty(shape[1:], np.int32), np.empty(shape, np.int32), costs

    def _stage_bins(self, sequence: tuple[int, ...]) -> NDArray[np.unsignedinteger]:
        return self.everybody if self.levels == 1 else self.bins[self.score_row(sequence)]

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
