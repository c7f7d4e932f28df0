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
from wisecommittee.kernels import boxes, exact, grid, screen
from wisecommittee.search.exhaustive import (
    THRESHOLDED,
    Corners,
    Candidates,
    Envelope,
    Group,
    GridSearch,
    Part,
    Point,
    copied,
    cornered,
    corners,
)
from wisecommittee.search.confidences import confidences
from wisecommittee.search.limits import Limits
from wisecommittee.search.tables import StageTables
from wisecommittee.search.workers import Control, Mapper


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the cascades of a group have in common: three stages, virtual ones in front where there are fewer.

    rows : of the confidences of the real stages; kind : int32 [N], units of a kind have the same quality and cost
    right : int64 [3, kinds]; fees : int64 [3, kinds] what units of a kind pay for each stage; spent : all on the first
    """

    rows: list[int]
    kind: NDArray[np.int32]
    right: NDArray[np.int64]
    fees: NDArray[np.int64]
    spent: int


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
        cost, rank, level = copied(sweep.envelope)
        self.envelope: Envelope = (cost, np.where(rank >= 0, 2 * rank + 1, rank), level)
        self.confidences = confidences(tables)
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
        shared = self._shared(group)
        real = [int(k >= THRESHOLDED - len(group.head)) for k in range(THRESHOLDED)]
        stages = [self.confidences[row] for row in shared.rows]
        units = [self.everybody] * (THRESHOLDED - len(stages)) + [stage.tiles for stage in stages]
        shape = [screen.TILES if k else 1 for k in real[:2]]
        masks = np.zeros((len(group.lasts), *shape), np.uint16)
        uniform = group.fees is not None
        last_fees = np.ascontiguousarray(group.fees[:, -1]) if uniform else np.zeros(len(group.lasts), np.int64)
        c1, c2, c3 = shared.right
        c12, c13, c23 = np.maximum(c1, c2), np.maximum(c1, c3), np.maximum(c2, c3)
        best = np.stack([c1, c2, c3, c12, c13, c23, np.maximum(c12, c3)], axis=1).astype(np.int32)
        found = screen.screen(
            *units, *real[:2], shared.kind, best, np.ascontiguousarray(shared.fees[1:].T),
            *self.sweep.changes(group.head, group.lasts), shared.spent, group.offsets, last_fees, envelope[0], masks,
        )  # fmt: skip
        some = np.flatnonzero(found).tolist()
        if some:
            # Units that go the same way lie side by side: the processor then guesses it right.
            tile = units[0].astype(np.uint16) * np.uint16(screen.TILES) + units[1]
            scratch.turn, _ = grid.bucket(self.sweep.everyone, tile, screen.TILES**2)
        for m in some:
            if control.stopped():
                return False
            self._cascade(group, m, shared, masks[m], envelope, scratch)
        return not control.stopped()

    def _shared(self, group: Group) -> _Shared:
        head, units = group.head, self.sweep.units
        prefixes = [head[:k] for k in range(1, len(head) + 1)]
        padding = THRESHOLDED - len(head)
        right = [self.sweep.correct_of(prefix) for prefix in prefixes]
        if self.sweep.correct.bits and group.fees is not None:
            kind = np.zeros(units, np.uint8)
            for k, line in enumerate(right):
                kind |= line << np.uint8(padding + k)
            bits = np.arange(2**THRESHOLDED) >> np.arange(THRESHOLDED)[:, None] & 1
            fees = np.zeros((THRESHOLDED, 1), np.int64)
            fees[padding:, 0] = group.fees[0, :-1]
            spent = int(fees[0, 0]) * units
            return _Shared(self._rows(head), kind.astype(np.int32), bits, np.repeat(fees, bits.shape[1], axis=1), spent)
        levels = np.zeros((THRESHOLDED, units), np.int64)
        levels[padding:] = right
        unit_fees = np.zeros((THRESHOLDED, units), np.int64)
        unit_fees[padding:] = (
            self.sweep.cost.per_unit[list(head)] if group.fees is None else group.fees[0, :-1, None]
        )
        kind = np.arange(units, dtype=np.int32)
        return _Shared(self._rows(head), kind, levels, unit_fees, int(unit_fees[0].sum()))

    def _rows(self, head: tuple[int, ...]) -> list[int]:
        return [self.sweep.score_row(head[:k]) for k in range(1, len(head) + 1)]

    def _cascade(
        self,
        group: Group,
        m: int,
        shared: _Shared,
        masks: NDArray[np.uint16],
        envelope: Envelope,
        scratch: _Scratch,
    ) -> None:
        """Every real threshold of one cascade of a group, within the boxes of these masks."""
        sweep, last = self.sweep, int(group.lasts[m])
        right = sweep.correct_of((*group.head, last))
        if sweep.correct.bits and group.fees is not None:
            kind = shared.kind | (right.astype(np.int32) << THRESHOLDED)
            quality = np.vstack([np.tile(shared.right, 2), np.arange(2 ** (THRESHOLDED + 1)) >> THRESHOLDED])
            fees = np.tile(shared.fees, 2)
        else:
            kind, quality, fees = shared.kind, np.vstack([shared.right, right]), shared.fees
        last_fee = sweep.cost.per_unit[last] if group.fees is None else group.fees[m, -1]
        fees = np.vstack([fees[1:], np.broadcast_to(last_fee, fees.shape[1])])
        levels = self._levels(shared.rows, kind, quality, scratch)
        if not all(map(len, levels)):
            return  # a stage that cannot gain: a shorter cascade is as good and cheaper
        scratch.units[: sweep.units, 3] = kind[scratch.turn]
        scratch.grow(max(map(len, levels)))
        padding = THRESHOLDED - len(levels)
        scratch.tiles[:padding, 0] = 0
        for k, (row, numbers) in enumerate(zip(shared.rows, levels, strict=True), padding):
            scratch.tiles[k, : len(numbers)] = self.confidences[row].tile_of[numbers]
        scratch.tiles[2] //= 2
        caps, others = np.full(4, INT64_SAFE, np.int64), np.zeros((0, 4), np.int64)
        if len(group.bounds.caps):
            caps, others = group.bounds.caps[m], group.bounds.others[m]
        most = int(fees.sum()) if fees.shape[1] == sweep.units else int(fees[:, 0].sum()) * sweep.units
        shift = max(0, most.bit_length() - boxes.COST_BITS)
        spent = shared.spent + int(group.offsets[m])
        boxes.search_boxes(
            scratch.units, sweep.units, np.ascontiguousarray(quality.T), np.ascontiguousarray(fees.T), shift,
            (*[1] * padding, *map(len, levels)), scratch.tiles, masks, spent, caps, others, group.bounds.ceilings,
            2 * int(group.ranks[m]), *scratch.sums, *envelope,
        )  # fmt: skip

    def _levels(
        self, rows: list[int], kind: NDArray[np.int32], quality: NDArray[np.int64], scratch: _Scratch
    ) -> list[NDArray[np.int32]]:
        """Distinct numbers of the levels of each real stage; its bins go to the scratch. quality : int64 [4, kinds]."""
        padding, out = THRESHOLDED - len(rows), []
        scratch.units[: len(kind), :padding] = 0
        for k, row in enumerate(rows, padding):
            known = self.confidences[row]
            gains = quality[k] < quality[k + 1 :].max(axis=0)
            level_of = scratch.level_of[: len(known.distinct) + 1]
            out.append(exact.gain_levels(known.order, kind, gains, level_of, scratch.turn, scratch.units[: len(kind), k]))
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
        quality = np.array([self.sweep.correct_of(sequence[:k]) for k in range(1, len(sequence) + 1)], np.int64)
        quality = np.vstack([np.zeros((THRESHOLDED + 1 - len(sequence), self.sweep.units), np.int64), quality])
        rows = self._rows(sequence[:-1])
        everyone = np.arange(self.sweep.units, dtype=np.int32)
        values = []
        for row, numbers in zip(reversed(rows), reversed(self._levels(rows, everyone, quality, scratch)), strict=True):
            level, place = divmod(level, len(numbers))
            distinct = self.confidences[row].distinct
            above = int(numbers[place]) + 1
            values.append(float(distinct[above]) if above < len(distinct) else float("inf"))
        return tuple(reversed(values))


class _Scratch:
    """Reused arrays of one chunk."""

    def __init__(self, units: int) -> None:
        self.level_of = np.zeros(units + 1, np.int32)
        self.units = np.zeros((4 * units, 4), np.int32)  # of boxes in boxes
        self.turn = np.arange(units, dtype=np.int32)  # in which order the units are listed
        self.grow(1)

    def grow(self, levels: int) -> None:
        """Room for so many levels of a stage, at least."""
        if not hasattr(self, "tiles") or self.tiles.shape[1] < levels:
            self.tiles = np.zeros((THRESHOLDED, levels), np.int64)
            self.sums = np.zeros((2, THRESHOLDED, levels), np.int64)
