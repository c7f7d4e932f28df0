"""The grid: every combination, every vector of percentile thresholds, exact counts, one envelope.

Semantics: levels are order statistics over all units, t_j = sorted[min(N-1, ceil(j N / (P-1)))] for j < P-1 and +inf; a
unit continues at level j iff at most j of the levels are <= its confidence. Units with equal confidences, or with
confidences that differ by rounding only (committees/scale.py), are never split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.kernels import envelope as envelopes
from wisecommittee.kernels.bounds import Bounds
from wisecommittee.kernels.envelope import Corners, Envelope, steps
from wisecommittee.kernels.sweeps import grid, tiles
from wisecommittee.kernels.sweeps.metered import Metered
from wisecommittee.searches.grid.bounds import after_stage, can_be_met, make_bounds
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.chunks import Chunk, run_chunks, sweep_task
from wisecommittee.searches.grid.cost_axis import CostAxis
from wisecommittee.searches.grid.levels import GridLevels
from wisecommittee.searches.grid.virtual_stages import padded
from wisecommittee.searches.limits import Limits, metered
from wisecommittee.searches.stages.lookup import StageLookup
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.workers.threads import Control, Mapper

Point = tuple[tuple[int, ...], tuple[float, ...]]  # tiers in order, thresholds (inf: nobody exits)

THRESHOLDED = 3  # stages that the kernel sweeps jointly, for each level of one stage before them
SCRATCH_BYTES = 1 << 20  # histograms of one batch of last members, which fit the cache


@dataclass(frozen=True, slots=True)
class HeadGroup:
    """m cascades that share all stages but the last: head + (last,). A cascade occurs once for each price that the cost
    axis gives it (cost_axis.py).

    lasts, ranks, offsets : int64 [m] last stage, rank in the order of ties, price; bounds : of all stages
    fees, last_fees : int64 [K - 1, N] and [m, N], what each stage of the head and each last member adds to the cost of
    a unit; [K - 1, 1] and [m, 1] where that is the same for every unit
    limits : Metered of all stages, the limits on costs that vary per unit
    """

    head: tuple[int, ...]
    lasts: NDArray[np.int64]
    ranks: NDArray[np.int64]
    offsets: NDArray[np.int64]
    fees: NDArray[np.int64]
    last_fees: NDArray[np.int64]
    bounds: Bounds
    limits: Metered


class Scored(Protocol):
    """What a sweep reads of stage tables. score : float32 [rows, N]."""

    @property
    def score(self) -> NDArray[np.float32]: ...
    @property
    def lookup(self) -> StageLookup: ...


class GridSearch:
    """The sweep over all groups of all sizes. It holds the data that all groups share, and is pickled for the workers
    of a cluster."""

    def __init__(
        self,
        pool: Pool,
        tables: Scored,
        candidates: list[Candidates],
        levels: int,
        limits: Limits | None = None,
        axis: str = "average",
        *,
        threads: int = 1,
    ) -> None:
        assert pool.task.width == 1  # else miou.py
        self.candidates, self.limits, self.units = candidates, limits or Limits(pool.units), pool.units
        self.axis = CostAxis.of(axis, pool.cost, pool.units, [c.sequences for c in candidates], levels)
        self.lookup = tables.lookup
        self.scale = scale_of(pool.confidence)
        self.grid = GridLevels.of(tables.score, levels, self.scale, threads)
        self.envelope = Envelope.empty(pool.task.scale * self.units)

    @property
    def levels(self) -> int:
        """P; 1 means ensembles: nobody exits before the end."""
        return self.grid.number

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Fold every threshold vector of every combination into the envelope; returns the combinations that a stop
        has left unfinished. Single models are always finished."""
        return run_chunks(
            mapper, self.candidates, self.chunk, before=self.envelope.copy, fold=self.fold, task=sweep_task
        )  # fmt: skip

    def fold(self, corners: Corners) -> None:
        envelopes.merge(self.envelope, corners)

    def chunk(self, before: Envelope, chunk: Chunk, control: Control) -> tuple[Corners, int]:
        """Corners of the envelope after these groups, and how many of them are finished."""
        envelope = before.copy()
        for n, group in enumerate(self.groups(chunk)):
            if (group.head and control.stopped()) or not self.group(group, envelope, control):
                return envelope.corners(), n
            control.tick(chunk.size(n))
        return envelope.corners(), len(chunk)

    def groups(self, chunk: Chunk) -> Iterator[HeadGroup]:
        """The groups of a chunk, in order."""
        rows, offsets, caps = self.axis.variants(chunk.sequences)
        starts = np.searchsorted(rows, chunk.starts)
        sequences, ranks = chunk.sequences[rows], chunk.ranks[rows]
        bounds, per_unit = make_bounds(self.limits, sequences, caps, self.units), self.axis.cost.per_unit
        fees = np.diff(self.axis.cost.cumulative(sequences), axis=1, prepend=0) if per_unit is None else None
        for a, b in itertools.pairwise(starts.tolist()):
            head, lasts = sequences[a, :-1], sequences[a:b, -1]
            if fees is None:
                head_fees, last_fees = per_unit[head], per_unit[lasts]  # type: ignore[index]
            else:
                head_fees, last_fees = fees[a, :-1, None], fees[a:b, -1:].copy()
            group_bounds = Bounds(bounds.caps[a:b], bounds.charges[a:b], bounds.ceilings)
            limits = metered(self.limits.varying, head.tolist(), lasts, self.units)
            yield HeadGroup(
                tuple(head.tolist()), lasts, ranks[a:b], offsets[a:b], head_fees, last_fees, group_bounds, limits
            )  # fmt: skip

    def group(self, group: HeadGroup, envelope: Envelope, control: Control) -> bool:
        """Offer every threshold vector of a group to the envelope; False if stopped on the way."""
        if not self.axis.budgeted:
            return self._group(group, envelope, control)
        return all(self._group(each, envelope, control) for each in self._at_budgets(group))

    def _at_budgets(self, group: HeadGroup) -> Iterator[HeadGroup]:
        """The group once for each budget of a percentile, with the last members that the budget tells apart."""
        for taking_part, start, limit in self.axis.at_budgets(group.head, group.lasts):
            lasts, limits = group.lasts[taking_part], (*self.limits.varying, limit)
            caps = taking_part if len(group.bounds.caps) else slice(None)
            bounds = Bounds(group.bounds.caps[caps], group.bounds.charges[caps], group.bounds.ceilings)
            yield HeadGroup(
                group.head, lasts, group.ranks[taking_part], group.offsets[taking_part] + start, group.fees,
                group.last_fees[taking_part], bounds, metered(limits, group.head, lasts, self.units),
            )  # fmt: skip

    def _group(self, group: HeadGroup, envelope: Envelope, control: Control) -> bool:
        """As `group`, of a group at one price."""
        stages = self._stages(group)
        lasts = grid.Lasts(self.changes(group.head, group.lasts), group.last_fees, group.offsets, group.ranks)
        scratch = self._scratch(len(group.lasts), stages.levels[-2:], varying=group.last_fees.shape[1] > 1)
        outer = len(stages.bins) - THRESHOLDED - 1  # stages whose levels this loop takes one by one
        for n, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            if n and control.stopped():
                return False
            waiting, correct, cost, bounds, rooms = _settle(stages, vector, group)
            if not can_be_met(bounds) or (rooms < 0).any():
                continue
            bins0, levels0 = stages.bins[outer], stages.levels[outer]
            last_four = grid.GridStages(
                (np.where(waiting, bins0, bins0.dtype.type(levels0)), *stages.bins[outer + 1 :]),
                stages.levels[outer:], stages.correct[outer:], stages.fees[outer + 1 :],
            )  # fmt: skip
            settled = grid.Settled(correct, cost, n * self.levels ** (THRESHOLDED + 1))
            limits = Metered(_last_stages(group.limits.stages), group.limits.lasts, rooms)
            grid.sweep_group(last_four, lasts, bounds, limits, settled, scratch, envelope)
        return True

    def _stages(self, group: HeadGroup) -> grid.GridStages:
        """All stages of the head, with virtual stages in front up to the number that a kernel takes."""
        prefixes = [group.head[:k] for k in range(1, len(group.head) + 1)]
        fewest = THRESHOLDED + 1
        everybody, nothing = np.zeros(self.units, self.grid.bins.dtype), np.zeros(self.units, np.int32)
        bins = [everybody if self.levels == 1 else self.grid.bins[self.lookup.score_row(p)] for p in prefixes]
        correct = [self.lookup.correct_of(p).astype(np.int32) for p in prefixes]
        free = np.zeros((1, group.last_fees.shape[1]), np.int64)
        return grid.GridStages(
            tuple(padded(bins, fewest, everybody)),
            tuple(padded([self.levels] * len(prefixes), fewest, 1)),
            tuple(padded(correct, fewest, nothing)),
            np.concatenate(padded([group.fees], 1 + max(0, fewest - len(prefixes)), free)),
        )

    def changes(self, head: tuple[int, ...], lasts: NDArray[np.int64]) -> tiles.Changes:
        """The units whose correctness each last member changes."""
        lookup, correct = self.lookup, self.lookup.correct
        nodes = [lookup.node((*head, m)) for m in lasts.tolist()]
        if not correct.bits:
            before = lookup.correct_of(head) if head else np.zeros(self.units, np.int32)
            return tiles.changed_grades(before, correct.rows(nodes))
        words = correct.words
        before = words[lookup.node(head)] if head else np.zeros(words.shape[1], np.uint64)
        return tiles.changed_words(before, words[nodes])

    def _scratch(self, members: int, levels: tuple[int, ...], *, varying: bool) -> grid.Histograms:
        each = levels[0] * levels[1] * (4 + 8 * varying)
        shape = (min(members, max(1, SCRATCH_BYTES // each)), *levels)
        costs = np.empty(shape if varying else (0, 0, 0), np.int64)
        return grid.Histograms(np.empty(levels, np.int32), np.empty(shape, np.int32), costs)

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        sequences = self.sequences(self.envelope.rank)
        at = steps(self.envelope.cost)
        pairs = zip(self.envelope.rank[at].tolist(), self.envelope.level[at].tolist(), strict=True)
        return [(sequences[rank], self.values(sequences[rank], level)) for rank, level in pairs]

    def sequences(self, ranks: NDArray[np.int64]) -> dict[int, tuple[int, ...]]:
        """The sequences of these ranks."""
        by_rank: dict[int, tuple[int, ...]] = {}
        for c in self.candidates:
            mask = np.isin(c.ranks, ranks)
            by_rank.update(zip(c.ranks[mask].tolist(), map(tuple, c.sequences[mask].tolist()), strict=True))
        return by_rank

    def values(self, sequence: tuple[int, ...], level: int) -> tuple[float, ...]:
        """The thresholds behind a level index."""
        return self.grid.thresholds(self.lookup.score_rows_of(sequence[:-1]), level)


def _settle(
    stages: grid.GridStages, vector: tuple[int, ...], group: HeadGroup
) -> tuple[NDArray[np.bool_], int, int, Bounds, NDArray[np.int64]]:
    """The stages before the last four at these levels: which units run the first of the four (bool [N]), what is
    correct and spent if they exit there, and the bounds and the rooms (Metered) that are left."""
    outer, bounds, rooms = len(vector), group.bounds, group.limits.rooms
    waiting = np.ones(len(stages.bins[0]), dtype=bool)
    correct = cost = 0
    before = len(stages.bins) - len(group.head)  # virtual stages
    for k in range(before, outer + 1):
        bounds = after_stage(bounds, int(waiting.sum()))
        cost += int(np.broadcast_to(stages.fees[k], waiting.shape)[waiting].sum())
        rooms = rooms - group.limits.stages[:, k - before, waiting].sum(axis=1)
        leaves = waiting & (stages.bins[k] > vector[k]) if k < outer else waiting
        correct += int(stages.correct[k][leaves].sum(dtype=np.int64))
        if k < outer:
            waiting &= ~leaves
    return waiting, correct, cost, bounds, rooms


def _last_stages(added: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [Q, 3, N]: the last three of K stages [Q, K, N], with virtual stages in front if there are fewer."""
    last = added[:, -THRESHOLDED:]
    virtual = np.zeros((len(added), THRESHOLDED - last.shape[1], added.shape[2]), np.int64)
    return np.ascontiguousarray(np.concatenate([virtual, last], axis=1))
