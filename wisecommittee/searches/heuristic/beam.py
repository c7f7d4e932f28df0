"""Search of pools too large for the whole grid: cascades grown one stage at a time, then refined. Not certified.

Pairs are exhaustive and exact. From then on every head in the beam (the first stages of a cascade) is extended by every
tier that can come next. The last three thresholds of an extension are swept jointly on a coarse grid
(threshold_sweeps.py); the thresholds before them stay among the few vectors that served the head best. An extension is
ranked by how many more units it gets right than shorter committees of the same cost. The beam keeps the best extensions
in each of several bands of cost, so it serves the whole frontier and no single target. The cascades on the envelope are
then refined until nothing improves (refine.py): each threshold over all its values with the others fixed; members
swapped, inserted, removed and exchanged with their neighbours; and the last three thresholds jointly on a fine grid of
gain confidences around the thresholds in use.

Every cascade that is offered is counted exactly, so the envelope is reached; that nothing beats it is not proved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError
from wisecommittee.kernels.envelope import steps
from wisecommittee.kernels.sweeps.beam import BUCKET_BITS, Lead
from wisecommittee.searches.heuristic.batch import LEVELS, level_indices
from wisecommittee.searches.heuristic.incumbents import Incumbents
from wisecommittee.searches.heuristic.neighbours import Combination
from wisecommittee.searches.heuristic.refine import Below, Refinement, sweep_lines
from wisecommittee.searches.heuristic.space import Outcome, SearchSpace
from wisecommittee.searches.heuristic.threshold_sweeps import SWEPT, Cells, JointSweep
from wisecommittee.searches.workers.threads import interrupts

WIDTH = 512  # heads kept at each size
BANDS = 16  # bands of cost, on a logarithmic scale
SLACK = 200  # an extension that stays more than 1/200 of all units behind shorter committees is not grown
NEAR = 12  # extensions of each size and band that join the envelope's cascades in the last joint sweep

Beam = dict[Combination, list[Below]]  # {head: threshold vectors that served it best}


def beam_points(space: SearchSpace, levels: int, width: int = WIDTH) -> Outcome:
    """The best cascades of a beam search; ends early with the best so far when space.stop is set.

    levels : of a stage in the joint sweep, at most LEVELS; thresholds are refined over all values anyway. width : heads
    kept at each size.
    """
    if width < 1:
        raise UsageError(f"width {width}; expected at least 1")
    incumbents = Incumbents(space)
    fill(incumbents, level_indices(space.pool.units, max(2, min(levels, LEVELS))), width)
    return incumbents.outcome()


def fill(incumbents: Incumbents, levels: NDArray[np.int64], width: int) -> None:
    """Singles and pairs, the beam, the refinement. levels : the coarse levels of a stage (see level_indices)."""
    space = incumbents.space
    none = Cells(space.pool.units, ((),), ())
    incumbents.sweep("singles", [space.starts()], lambda stages, e: JointSweep(stages, e, none), stoppable=False)
    interrupts().keep(space.stop.set)
    heads = space.extensions(()).sequences
    if space.max_models > 1:
        pairs = [pair for head in heads for pair in space.extensions(head).sequences]
        sweep_lines(incumbents, [(pair, (float("inf"),)) for pair in pairs], "pairs")
    if space.max_models < 3:
        return
    beam: Beam = {head: [] for head in heads}
    near: dict[Combination, list[Below]] = {}
    for size in range(2, space.max_models + 1):
        grown = _grow(incumbents, beam, levels, size)
        if space.stop.is_set():
            return
        grown.remember(near)
        beam = grown.best(width)
    Refinement(incumbents, levels, near).run()


@dataclass(frozen=True, slots=True)
class Grown:
    """The extensions of one size and their leads.

    sequences : int64 [n, size]; cells_of : the Cells of the head of each extension; ahead, level : int64 [n, BANDS] as
    in Lead; least : the lead that an extension must exceed to be grown.
    """

    sequences: NDArray[np.int64]
    cells_of: list[Cells]
    ahead: NDArray[np.int64]
    level: NDArray[np.int64]
    least: int

    def ordered(self, ahead: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices by falling lead, then names."""
        return np.lexsort((*self.sequences.T[::-1], -ahead))

    def best(self, width: int) -> Beam:
        """The best extensions of each band of cost, then the best of the others."""
        n = len(self.sequences)
        chosen: dict[int, None] = dict.fromkeys(range(n)) if n <= width else {}
        if n > width:
            for band in range(BANDS):
                order = self.ordered(self.ahead[:, band])[: max(1, width // BANDS)]
                chosen.update(dict.fromkeys(order[self.level[order, band] >= 0].tolist()))
            top = self.ahead.max(axis=1)
            for i in self.ordered(top).tolist():
                if len(chosen) >= width or top[i] <= self.least:
                    break
                chosen[i] = None
        return {
            tuple(self.sequences[i].tolist()): [self.cells_of[i].below(v) for v in self.level[i].tolist() if v >= 0]
            for i in sorted(chosen)
        }

    def remember(self, near: dict[Combination, list[Below]]) -> None:
        """Add the best extensions of each band: with finer levels they may reach the envelope."""
        for band in range(BANDS):
            for i in self.ordered(self.ahead[:, band])[:NEAR].tolist():
                if self.level[i, band] >= 0:
                    below = self.cells_of[i].below(int(self.level[i, band]))
                    near.setdefault(tuple(self.sequences[i].tolist()), []).append(below)


def _grow(incumbents: Incumbents, beam: Beam, levels: NDArray[np.int64], size: int) -> Grown:
    """Sweep every extension of these heads."""
    space, units = incumbents.space, incumbents.space.pool.units
    every = [e for e in map(space.extensions, beam) if len(e.lasts)]
    cells = {e.head: Cells.of(e.head, units, [levels] * SWEPT, beam[e.head]) for e in every}
    least = -1 - incumbents.best // SLACK
    scale = _scale(incumbents.cost)
    leads = {e.head: Lead(*scale, *(np.full((len(e.lasts), BANDS), v) for v in (least, -1))) for e in every}
    incumbents.sweep(
        f"committees of {size}", every, lambda stages, e: JointSweep(stages, e, cells[e.head], leads[e.head])
    )
    sequences = [sequence for e in every for sequence in e.sequences]
    none = np.zeros((0, BANDS), np.int64)
    return Grown(
        np.array(sequences, np.int64).reshape(-1, size),
        [cells[e.head] for e in every for _ in e.lasts],
        np.concatenate([none, *(leads[e.head].ahead for e in every)]),
        np.concatenate([none, *(leads[e.head].level for e in every)]),
        least,
    )


def _scale(cost: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Returns (expected, first, bands): for each bucket of cost, the number correct that the envelope reaches (int64)
    and the band; `first` is the number of the first bucket."""
    at = cost[steps(cost)]
    bits = np.array([max(1, at[0]), max(1, at[-1])], np.float32).view(np.int32) >> BUCKET_BITS
    first, buckets = int(bits[0]), int(bits[1] - bits[0]) + 1
    edges = ((np.arange(buckets, dtype=np.int32) + np.int32(first)) << BUCKET_BITS).view(np.float32)
    expected = np.maximum(np.searchsorted(cost, edges.astype(np.float64), side="right") - 1, 0)
    return expected.astype(np.int64), first, np.arange(buckets) * BANDS // buckets
