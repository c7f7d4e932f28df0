"""The exact mode: the optimum over all real thresholds, with the grid's envelope as a warm start. A threshold parts two
confidences only if more than rounding does (committees/scale.py): what other programs would not follow is no optimum.

Levels are the gain confidences of each stage (see kernels/exact/gain_levels.py), so a few hundred thresholds per stage
stand for all N of them. Groups of cascades are screened tile by tile (kernels/exact/screening.py), which settles most
of them; what is left is searched box by box (kernels/exact/branch_and_bound.py). Every cell that is not evaluated is
bounded by the envelope, so what comes out is certified.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import INT64_SAFE, CostModel
from wisecommittee.errors import UsageError, option
from wisecommittee.kernels.exact import branch_and_bound, screening
from wisecommittee.kernels.exact.gain_levels import gain_levels
from wisecommittee.kernels.sweeps import grid
from wisecommittee.searches.exact.profiles import Kinds
from wisecommittee.searches.exact.tiles import confidences
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.sweep import (
    THRESHOLDED,
    Corners,
    Envelope,
    GridSearch,
    Group,
    Part,
    Point,
    copied,
    cornered,
    corners,
)
from wisecommittee.searches.limits import Limits
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import Control, Mapper


def require_provable(candidates: Sequence[Candidates], cost: CostModel, limits: Limits | None) -> None:
    """Refuse what could not be proved, before anything is swept."""
    longest = max(c.size for c in candidates)
    if longest > THRESHOLDED + 1:
        raise UsageError(
            f"{option('exact', True)} proves cascades of up to {THRESHOLDED + 1} members; lower "
            f"{option('max_models', longest)}"
        )
    if cost.per_unit is not None and limits:
        raise UsageError(
            f"{option('exact', True)} with limits needs a cost that is the same for every unit; {cost.name} varies. "
            f"Leave the limits or {option('exact', True)} out"
        )


class ExactSearch:
    """Proves the envelope of a finished grid search; ranks in it become 2 rank + 1 (grid) and 2 rank (exact)."""

    def __init__(self, sweep: GridSearch, tables: StageTables) -> None:
        require_provable(sweep.candidates, sweep.cost, sweep.limits)
        self.sweep = sweep
        cost, rank, level = copied(sweep.envelope)
        self.envelope: Envelope = (cost, np.where(rank >= 0, 2 * rank + 1, rank), level)
        self.confidences = confidences(tables, sweep.scale)
        self.everybody = np.zeros(sweep.units, np.uint8)

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Prove every combination of two members and more; returns those that a stop has left unproved."""
        unfinished: list[tuple[int, ...]] = []
        for c in self.sweep.candidates:
            if c.size < 2:
                continue
            parts = Part.cut(c, mapper.parts)
            name = f"exact thresholds, {c.size} members"
            done = mapper.map(self.chunk, copied(self.envelope), parts, name, len(c.sequences))
            for part, (found, finished) in zip(parts, done, strict=True):
                if found is not None:
                    grid.merge_corners(*self.envelope, *found)
                unfinished += part.from_group(finished)
        return unfinished

    def chunk(self, before: Envelope, part: Part, control: Control) -> tuple[Corners, int]:
        """Corners of the envelope after these groups, and how many of them are proved."""
        envelope = copied(before)
        scratch = _Scratch(self.sweep.units)
        for finished, group in enumerate(self.sweep.groups(part)):
            if not self._group(group, envelope, scratch, control):
                return cornered(envelope), finished
            control.tick(int(part.starts[finished + 1] - part.starts[finished]))
        return cornered(envelope), len(part.starts) - 1

    def _group(self, group: Group, envelope: Envelope, scratch: _Scratch, control: Control) -> bool:
        """Every real threshold of the cascades of a group; False if stopped on the way."""
        head, sweep = group.head, self.sweep
        padding = THRESHOLDED - len(head)
        stages = [self.confidences[row] for row in self._rows(head)]
        units = [self.everybody] * padding + [stage.tiles for stage in stages]
        real = [int(k >= padding) for k in range(2)]
        masks = np.zeros((len(group.lasts), *(screening.TILES if k else 1 for k in real)), np.uint16)
        kinds = self._kinds(group)
        last_fees = np.zeros(len(group.lasts), np.int64) if group.fees is None else group.fees[:, -1].copy()
        found = screening.screen(
            *units, *real, kinds.kind, kinds.best(), kinds.paid(1), *sweep.changes(head, group.lasts),
            kinds.total(0, 1), group.offsets, last_fees, envelope[0], masks,
        )  # fmt: skip
        some = np.flatnonzero(found).tolist()
        if some:
            # Units that go the same way lie side by side, so that the processor guesses it right.
            tile = units[0].astype(np.uint16) * np.uint16(screening.TILES) + units[1]
            scratch.turn, _ = grid.bucket(sweep.everyone, tile, screening.TILES**2)
        for m in some:
            if control.stopped():
                return False
            last = int(group.lasts[m])
            fee = sweep.cost.per_unit[last] if sweep.cost.per_unit is not None else int(last_fees[m])
            self._cascade(group, m, kinds.then(sweep.correct_of((*head, last)), fee), masks[m], envelope, scratch)
        return not control.stopped()

    def _kinds(self, group: Group) -> Kinds:
        """Of the three stages that the cascades of a group share, virtual ones in front where there are fewer."""
        cost, head = self.sweep.cost, group.head
        kinds = Kinds.start(self.sweep.units, few=self.sweep.correct.bits and cost.per_unit is None)
        for _ in range(THRESHOLDED - len(head)):
            kinds = kinds.then(self.everybody, 0)
        for k, member in enumerate(head):
            fee = int(group.fees[0, k]) if group.fees is not None else cost.per_unit[member]  # type: ignore[index]
            kinds = kinds.then(self.sweep.correct_of(head[: k + 1]), fee)
        return kinds

    def _rows(self, head: tuple[int, ...]) -> list[int]:
        """Rows of the confidences that these stages compare."""
        return [self.sweep.score_row(head[:k]) for k in range(1, len(head) + 1)]

    def _cascade(
        self, group: Group, m: int, kinds: Kinds, masks: NDArray[np.uint16], envelope: Envelope, scratch: _Scratch
    ) -> None:
        """Every real threshold of one cascade of a group, within the tiles of these masks."""
        units, rows = self.sweep.units, self._rows(group.head)
        levels = self._levels(rows, kinds, scratch)
        if not all(map(len, levels)):
            return  # a stage that cannot gain: a shorter cascade is as good and cheaper
        padding = THRESHOLDED - len(levels)
        scratch.units[:units, :padding] = 0
        scratch.units[:units, 3] = kinds.kind[scratch.turn]
        scratch.grow(max(map(len, levels)))
        scratch.tiles[:padding, 0] = 0
        for k, (row, numbers) in enumerate(zip(rows, levels, strict=True), padding):
            scratch.tiles[k, : len(numbers)] = self.confidences[row].tile_of[numbers]
        scratch.tiles[2] //= 2
        caps, others = np.full(4, INT64_SAFE, np.int64), np.zeros((0, 4), np.int64)
        if len(group.bounds.caps):
            caps, others = group.bounds.caps[m], group.bounds.others[m]
        branch_and_bound.search_boxes(
            scratch.units, units, kinds.right.T.copy(), kinds.paid(1),
            max(0, kinds.total(1, THRESHOLDED + 1).bit_length() - branch_and_bound.COST_BITS),
            (*[1] * padding, *map(len, levels)),
            scratch.tiles, masks, kinds.total(0, 1) + int(group.offsets[m]), caps, others,
            group.bounds.ceilings, 2 * int(group.ranks[m]), *scratch.sums, *envelope,
        )  # fmt: skip

    def _levels(self, rows: list[int], kinds: Kinds, scratch: _Scratch) -> list[NDArray[np.int32]]:
        """Distinct numbers of the levels of each stage but the last; the bins go to the scratch."""
        out = []
        for k, row in enumerate(rows, THRESHOLDED - len(rows)):
            known = self.confidences[row]
            level_of = scratch.level_of[: len(known.distinct) + 1]
            bins = scratch.units[: self.sweep.units, k]
            out.append(gain_levels(known.order, kinds.kind, kinds.gains(k), level_of, scratch.turn, bins))
        return out

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        cost, rank, level = self.envelope
        sequences = self.sweep.sequences(rank // 2)
        scratch = _Scratch(self.sweep.units)
        points = []
        for a in corners(cost):
            sequence = sequences[int(rank[a]) // 2]
            if rank[a] % 2:
                points.append((sequence, self.sweep.values(sequence, int(level[a]))))
            else:
                points.append((sequence, self._values(sequence, int(level[a]), scratch)))
        return points

    def _values(self, sequence: tuple[int, ...], level: int, scratch: _Scratch) -> tuple[float, ...]:
        """The least confidence above the gain confidence of each level; inf where there is none."""
        kinds = Kinds.start(self.sweep.units, few=False)
        for k in range(len(sequence) - THRESHOLDED, len(sequence) + 1):
            kinds = kinds.then(self.sweep.correct_of(sequence[:k]) if k > 0 else self.everybody, 0)
        rows, values = self._rows(sequence[:-1]), []
        for row, numbers in zip(reversed(rows), reversed(self._levels(rows, kinds, scratch)), strict=True):
            level, place = divmod(level, len(numbers))
            distinct = self.confidences[row].distinct
            above = int(numbers[place]) + 1
            values.append(float(distinct[above]) if above < len(distinct) else float("inf"))
        return tuple(reversed(values))


class _Scratch:
    """Reused arrays of one chunk.

    turn : int32 [N] in which order units are listed; units : int32 [., 4] of boxes within boxes, bins and kind
    tiles, sums : of the levels of three stages
    """

    def __init__(self, units: int) -> None:
        self.level_of = np.zeros(units + 1, np.int32)
        self.turn = np.arange(units, dtype=np.int32)
        self.units = np.zeros((3 * units, 4), np.int32)
        self.tiles = np.zeros((THRESHOLDED, 0), np.int64)
        self.sums = np.zeros((2, THRESHOLDED, 0), np.int64)

    def grow(self, levels: int) -> None:
        """Room for so many levels of a stage, at least."""
        if self.tiles.shape[1] < levels:
            self.tiles = np.zeros((THRESHOLDED, levels), np.int64)
            self.sums = np.zeros((2, THRESHOLDED, levels), np.int64)
