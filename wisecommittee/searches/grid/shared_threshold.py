"""Cascades whose stages share one threshold (IRENE's margin; Wisdom of Committees as run beside it), all values of it.

A unit has exited by stage k at threshold t iff the highest of its first k confidences reaches t. So the totals of a
cascade are step functions of t: they change where t passes a unit's running maximum at a stage. One sweep in the order
of these maxima visits every distinct committee: the result is exact over all real thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.envelope import Envelope
from wisecommittee.kernels.sweeps.shared_threshold import Events, StepChanges, sweep_shared
from wisecommittee.searches.grid.bounds import make_bounds
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.sweep import GridSearch, HeadGroup
from wisecommittee.searches.limits import Limits
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import Control


class SharedSearch(GridSearch):
    """The sweep over all groups; level indexes count the distinct running maxima of a combination."""

    def __init__(self, pool: Pool, tables: StageTables, candidates: list[Candidates], limits: Limits) -> None:
        super().__init__(pool, tables, candidates, 1, limits)
        self.score = tables.score

    def thresholds(self, unfinished: Sequence[tuple[int, ...]] = ()) -> int:
        """How many thresholds were tried: the distinct confidences of every compared stage, and never exiting."""
        distinct = [len(np.unique(row)) for row in self.score]

        def of(sequences: NDArray[np.int64]) -> int:
            heads, times = np.unique(sequences[:, :-1], axis=0, return_counts=True)
            tried = [sum(distinct[row] for row in self.lookup.score_rows_of(head)) for head in heads.tolist()]
            return len(sequences) + int(np.dot(times, tried))

        sizes = {len(sequence) for sequence in unfinished}
        left = [np.array([s for s in unfinished if len(s) == size], np.int64) for size in sizes]
        return sum(of(c.sequences) for c in self.candidates) - sum(map(of, left))

    def group(self, group: HeadGroup, envelope: Envelope, control: Control) -> bool:
        head, lasts = group.head, group.lasts
        if not head:
            return super().group(group, envelope, control)
        correct = [self.lookup.correct_of(head[:k]).astype(np.int64) for k in range(1, len(head) + 1)]
        last_correct = np.stack([self.lookup.correct_of((*head, m)) for m in lasts.tolist()], axis=1)
        fees = np.broadcast_to(group.fees, (len(head), self.units))
        last_fees = np.broadcast_to(group.last_fees.T, last_correct.shape)
        changes = StepChanges(
            np.diff(correct, axis=0), np.ascontiguousarray(fees[1:]),
            last_correct - correct[-1][:, None], np.ascontiguousarray(last_fees),
        )  # fmt: skip
        sequences = np.array([[*head, m] for m in lasts.tolist()], np.int64)
        bounds = make_bounds(self.limits, sequences, np.full(sequences.shape, self.units), self.units, len(head) + 1)
        totals = int(correct[0].sum()), int(fees[0].sum())
        first = group.limits.stages[:, 0].sum(axis=1)
        limits = group.limits._replace(stages=group.limits.stages[:, 1:].copy(), rooms=group.limits.rooms - first)
        sweep_shared(self._events(head), changes, *totals, group.ranks, bounds, limits, envelope)
        return True

    def _events(self, head: tuple[int, ...]) -> Events:
        highest = np.maximum.accumulate(self._scores(head), axis=0).ravel()
        order = np.argsort(highest, kind="stable")
        ordered = highest[order]
        stages, units = np.divmod(order, self.units)
        return Events(stages, units, np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True]) + 1)

    def _scores(self, head: tuple[int, ...]) -> NDArray[np.float32]:
        """float32 [K - 1, N]: confidences after each stage. The one threshold is compared with all of them, so
        confidences of different stages that differ by rounding only count as equal."""
        scores = self.score[self.lookup.score_rows_of(head)]
        ordered = np.sort(scores, axis=None)
        lowest = self.scale.lowest(ordered)
        return scores if lowest is ordered else lowest[np.searchsorted(ordered, scores)]

    def values(self, sequence: tuple[int, ...], level: int) -> tuple[float, ...]:
        """The least confidence above the level's; inf where there is none."""
        head = sequence[:-1]
        if not head:
            return ()
        scores = self._scores(head)
        passed = np.unique(np.maximum.accumulate(scores, axis=0))[level]
        above = scores[scores > passed]
        return (float(above.min()) if len(above) else float("inf"),) * len(head)
