"""The exact mode: the optimum over all real thresholds, with the grid's envelope as a warm start. No threshold lies
between confidences that differ by rounding only (committees/scale.py): other programs would not reproduce such a
threshold.

Levels are the gain confidences of each stage (see kernels/exact/gain_levels.py), so a few hundred thresholds per stage
stand for all N of them. Groups of cascades are screened tile by tile (kernels/exact/screening.py), which rules out most
tiles; the others are searched box by box (kernels/exact/branch_and_bound.py). Every cell that is not evaluated is
proved to be worse than the envelope, so the result is certified.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import UsageError, option
from wisecommittee.kernels import envelope as envelopes
from wisecommittee.kernels.envelope import Corners, Envelope, steps
from wisecommittee.kernels.exact import branch_and_bound, screening
from wisecommittee.kernels.exact.gain_levels import gain_levels
from wisecommittee.kernels.sweeps.bins import bucket
from wisecommittee.searches.exact.profiles import UnitProfiles
from wisecommittee.searches.exact.tiles import tiled_stages
from wisecommittee.searches.grid.bounds import of_cascade
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.chunks import Chunk, run_chunks
from wisecommittee.searches.grid.sweep import THRESHOLDED, GridSearch, HeadGroup, Point
from wisecommittee.searches.grid.virtual_stages import padded
from wisecommittee.searches.limits import Limits
from wisecommittee.searches.percentile import percent_of
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import Control, Mapper


def require_provable(
    candidates: Sequence[Candidates], cost: CostModel, limits: Limits | None, axis: str = "average"
) -> None:
    """Refuse searches that cannot be proved, before the sweep starts."""
    longest = max(c.size for c in candidates)
    if longest > THRESHOLDED + 1:
        raise UsageError(
            f"{option('exact', True)} proves cascades of up to {THRESHOLDED + 1} members; lower "
            f"{option('max_models', longest)}"
        )
    if cost.per_unit is not None and percent_of(axis) is not None:
        raise UsageError(
            f"{option('exact', True)} with {option('axis', axis)} needs a cost that is the same for every unit; "
            f"{cost.name} varies. Leave one of them out"
        )
    varying = [limit.costs.name for limit in (limits.varying if limits else ())]
    if limits and (varying or cost.per_unit is not None):
        raise UsageError(
            f"{option('exact', True)} with limits needs costs that are the same for every unit; "
            f"{(varying or [cost.name])[0]} varies. Leave the limits or {option('exact', True)} out"
        )


class ExactSearch:
    """Proves the envelope of a finished grid search; ranks in it become 2 rank + 1 (grid) and 2 rank (exact)."""

    def __init__(self, sweep: GridSearch, tables: StageTables) -> None:
        require_provable(sweep.candidates, sweep.axis.cost, sweep.limits, sweep.axis.name)
        self.sweep = sweep
        cost, rank, level = sweep.envelope.copy()
        self.envelope = Envelope(cost, np.where(rank >= 0, 2 * rank + 1, rank), level)
        self.stages = tiled_stages(tables, sweep.scale)

    def run(self, mapper: Mapper) -> list[tuple[int, ...]]:
        """Prove every combination of two members and more; returns those that a stop has left unproved."""
        return run_chunks(
            mapper, [c for c in self.sweep.candidates if c.size > 1], self.chunk, before=self.envelope.copy,
            fold=self.fold, task=lambda size: f"exact thresholds, {size} members",
        )  # fmt: skip

    def fold(self, corners: Corners) -> None:
        envelopes.merge(self.envelope, corners)

    def chunk(self, before: Envelope, chunk: Chunk, control: Control) -> tuple[Corners, int]:
        """Corners of the envelope after these groups, and how many of them are proved."""
        envelope, scratch = before.copy(), _Scratch(self.sweep.units)
        for n, group in enumerate(self.sweep.groups(chunk)):
            if not self._group(group, envelope, scratch, control):
                return envelope.corners(), n
            control.tick(chunk.size(n))
        return envelope.corners(), len(chunk)

    def _group(self, group: HeadGroup, envelope: Envelope, scratch: _Scratch, control: Control) -> bool:
        """Every real threshold of the cascades of a group; False if stopped on the way."""
        sweep, head = self.sweep, group.head
        fees, last_fees = group.fees, group.last_fees
        profiles = self._profiles(head, fees)
        virtual = THRESHOLDED - len(head)
        everybody = np.zeros(sweep.units, np.uint8)
        unit_tiles = [self.stages[row].tiles for row in sweep.lookup.score_rows_of(head)]
        tiles = tuple(padded(unit_tiles, THRESHOLDED, everybody))
        real = (int(virtual < 1), int(virtual < 2))
        masks = np.zeros((len(group.lasts), *(screening.TILES if k else 1 for k in real)), np.uint16)
        varying = last_fees.shape[1] > 1
        matters = screening.screen(
            screening.ScreenedUnits(tiles, real, profiles.profile, profiles.best(), profiles.fees_from(1)),
            sweep.changes(head, group.lasts), profiles.total_cost(0, 1), group.offsets,
            np.zeros(len(last_fees), np.int64) if varying else last_fees[:, 0], envelope.cost, masks,
        )  # fmt: skip
        if matters.any():
            # Units that take the same branches lie side by side, so that the processor predicts them.
            tile = tiles[0].astype(np.uint16) * np.uint16(screening.TILES) + tiles[1]
            scratch.order, _ = bucket(np.arange(sweep.units, dtype=np.int32), tile, screening.TILES**2)
        for m in np.flatnonzero(matters).tolist():
            if control.stopped():
                return False
            whole = profiles.then(sweep.lookup.correct_of((*head, int(group.lasts[m]))), last_fees[m])
            self._cascade(group, m, whole, masks[m], envelope, scratch)
        return not control.stopped()

    def _profiles(self, stages: tuple[int, ...], fees: NDArray[np.int64]) -> UnitProfiles:
        """The profiles of these stages, with virtual stages in front if there are fewer than three. fees : int64 [K, N
        or 1]"""
        sweep = self.sweep
        profiles = UnitProfiles.start(sweep.units, few=sweep.lookup.correct.bits and sweep.axis.cost.per_unit is None)
        for _ in range(THRESHOLDED - len(stages)):
            profiles = profiles.then(np.zeros(sweep.units, np.uint8), 0)
        for k, fee in enumerate(fees):
            profiles = profiles.then(sweep.lookup.correct_of(stages[: k + 1]), fee)
        return profiles

    def _cascade(
        self,
        group: HeadGroup,
        m: int,
        profiles: UnitProfiles,
        masks: NDArray[np.uint16],
        envelope: Envelope,
        scratch: _Scratch,
    ) -> None:
        """Every real threshold of one cascade of a group, within the tiles of these masks."""
        rows = self.sweep.lookup.score_rows_of(group.head)
        levels = self._levels(rows, profiles, scratch)
        if not all(map(len, levels)):
            return  # a stage has no gains: the cascade without it is as good and cheaper
        units, virtual = self.sweep.units, THRESHOLDED - len(levels)
        scratch.units[:units, :virtual] = 0
        scratch.units[:units, 3] = profiles.profile[scratch.order]
        scratch.grow(max(map(len, levels)))
        scratch.tiles[:virtual, 0] = 0
        for k, (row, numbers) in enumerate(zip(rows, levels, strict=True), virtual):
            scratch.tiles[k, : len(numbers)] = self.stages[row].tile_of[numbers]
        scratch.tiles[2] //= 2
        fees = profiles.fees_from(1)
        shift = max(0, profiles.total_cost(1, THRESHOLDED + 1).bit_length() - branch_and_bound.COST_BITS)
        branch_and_bound.search_boxes(
            scratch.units, units, branch_and_bound.Profiles(profiles.correct.T.copy(), fees, fees >> shift),
            branch_and_bound.Levels(tuple(padded(list(map(len, levels)), THRESHOLDED, 1)), scratch.tiles, masks), shift,
            profiles.total_cost(0, 1) + int(group.offsets[m]), of_cascade(group.bounds, m), 2 * int(group.ranks[m]),
            scratch.opened, envelope,
        )  # fmt: skip

    def _levels(self, rows: list[int], profiles: UnitProfiles, scratch: _Scratch) -> list[NDArray[np.int32]]:
        """For each stage but the last, its levels as numbers of distinct confidences; bins are written to the
        scratch."""
        levels = []
        for k, row in enumerate(rows, THRESHOLDED - len(rows)):
            stage = self.stages[row]
            level_of = scratch.level_of[: len(stage.distinct) + 1]
            bins = scratch.units[: self.sweep.units, k]
            gains = profiles.gains(k)
            levels.append(gain_levels(stage.number, profiles.profile, gains, level_of, scratch.order, bins))
        return levels

    def points(self) -> list[Point]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        cost, ranks, levels = self.envelope
        sequences = self.sweep.sequences(ranks // 2)
        scratch = _Scratch(self.sweep.units)
        points = []
        for a in steps(cost):
            sequence, level = sequences[int(ranks[a]) // 2], int(levels[a])
            from_grid = ranks[a] % 2
            values = self.sweep.values(sequence, level) if from_grid else self._values(sequence, level, scratch)
            points.append((sequence, values))
        return points

    def _values(self, sequence: tuple[int, ...], level: int, scratch: _Scratch) -> tuple[float, ...]:
        """The least confidence above the gain confidence of each level; inf where there is none."""
        profiles = self._profiles(sequence[:-1], np.zeros((len(sequence) - 1, 1), np.int64))
        profiles = profiles.then(self.sweep.lookup.correct_of(sequence), 0)
        rows, values = self.sweep.lookup.score_rows_of(sequence[:-1]), []
        for row, numbers in zip(reversed(rows), reversed(self._levels(rows, profiles, scratch)), strict=True):
            level, j = divmod(level, len(numbers))
            distinct = self.stages[row].distinct
            above = int(numbers[j]) + 1
            values.append(float(distinct[above]) if above < len(distinct) else float("inf"))
        return tuple(reversed(values))


class _Scratch:
    """Reused arrays of one chunk.

    order : int32 [N] the order in which units are listed; units : int32 [., 4] bins and profile of the units of nested
    boxes tiles, opened : arrays over the levels of three stages
    """

    def __init__(self, units: int) -> None:
        self.level_of = np.zeros(units + 1, np.int32)
        self.order = np.arange(units, dtype=np.int32)
        self.units = np.zeros((3 * units, 4), np.int32)
        self._resize(0)

    def grow(self, levels: int) -> None:
        """Room for so many levels of a stage, at least."""
        if self.tiles.shape[1] < levels:
            self._resize(levels)

    def _resize(self, levels: int) -> None:
        self.tiles = np.zeros((THRESHOLDED, levels), np.int64)
        change, extra = np.zeros((2, THRESHOLDED, levels), np.int64)
        self.opened = branch_and_bound.Open(change, extra, np.zeros(THRESHOLDED, np.int64))
