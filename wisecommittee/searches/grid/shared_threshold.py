"""Cascades whose stages share one threshold (IRENE's margin; Wisdom of Committees as run beside it), all values of it.

A unit has exited by stage k at threshold t iff the highest of its first k confidences reaches t. So what a cascade does
is a sum of steps over t, one where t passes each unit's running maximum at each stage, and one sweep in the order of
these maxima visits every distinct committee: the result is exact over all real thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.sweeps.shared_threshold import sweep_shared
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.sweep import Envelope, GridSearch, Group
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
        """How many were tried: the distinct confidences of every compared stage, and never exiting."""
        distinct = [len(np.unique(row)) for row in self.score]

        def of(sequences: NDArray[np.int64]) -> int:
            heads, times = np.unique(sequences[:, :-1], axis=0, return_counts=True)
            tried = [
                sum(distinct[self.score_row(head[:k])] for k in range(1, len(head) + 1))
                for head in map(tuple, heads.tolist())
            ]
            return len(sequences) + int(np.dot(times, tried))

        sizes = {len(sequence) for sequence in unfinished}
        left = [np.array([s for s in unfinished if len(s) == size], np.int64) for size in sizes]
        return sum(of(c.sequences) for c in self.candidates) - sum(map(of, left))

    def group(self, group: Group, envelope: Envelope, control: Control) -> bool:
        head, lasts, ranks = group.head, group.lasts, group.ranks
        if not head:
            return super().group(group, envelope, control)
        correct = [self.correct_of(head[:k]).astype(np.int64) for k in range(1, len(head) + 1)]
        last_correct = np.stack([self.correct_of((*head, int(m))) for m in lasts], axis=1)
        if group.fees is None:
            assert self.cost.per_unit is not None
            stage_cost = self.cost.per_unit[list(head)]
            unit_cost = self.cost.per_unit[lasts].T
        else:
            stage_cost = np.repeat(group.fees[0, :-1, None], self.units, axis=1)
            unit_cost = np.broadcast_to(group.fees[:, -1], last_correct.shape)
        highest = np.maximum.accumulate(self._scores(head), axis=0).ravel()
        order = np.argsort(highest, kind="stable")
        ordered = highest[order]
        stages, units = np.divmod(order, self.units)
        sequences = np.array([[*head, m] for m in lasts], np.int64)
        limits = self.limits
        sweep_shared(
            stages, units, np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True]) + 1, np.diff(correct, axis=0),
            stage_cost[1:], last_correct - correct[-1][:, None],
            np.ascontiguousarray(unit_cost), int(correct[0].sum()), int(stage_cost[0].sum()), ranks,
            limits.caps(sequences) if limits else np.zeros((0, len(head) + 1), np.int64),
            limits.marginal(sequences) if limits else np.zeros((0, 0, len(head) + 1), np.int64),
            np.array(limits.ceilings if limits else (), np.int64), *envelope,
        )  # fmt: skip
        return True

    def _scores(self, head: tuple[int, ...]) -> NDArray[np.float32]:
        """float32 [K - 1, N]: confidences after each stage. One threshold lies among all of them, so they are told
        apart together."""
        scores = self.score[[self.score_row(head[:k]) for k in range(1, len(head) + 1)]]
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
