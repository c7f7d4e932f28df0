"""The sweeps of a search, over given sequences of members only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wisecommittee.errors import UsageError
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.exact.proof import ExactSearch
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.grid.sweep import THRESHOLDED, GridSearch
from wisecommittee.searches.reporter import Reporter
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import tables_for
from wisecommittee.searches.workers.threads import Progress, Threads

Members = tuple[int, ...]


def require_counts(pool: Pool) -> None:
    if pool.task.width > 1:
        raise UsageError(f"{pool.task.name} is no count of units that are right; this needs classes or answers")


class GivenSequences:
    """Cascades of given sequences of members (indices into the pool), which share one set of stage tables."""

    def __init__(
        self, pool: Pool, sequences: Sequence[Members], *, threads: int = 1, progress: Progress | None = None
    ) -> None:
        require_counts(pool)
        self.pool, self.threads = pool, threads
        prefixes = {s[:k] for s in sequences for k in range(1, len(s) + 1)}
        alone = {(m,) for s in sequences for m in s}
        compared = {s[:k] for s in sequences for k in range(1, len(s))}
        self.tables = tables_for(pool, prefixes | alone, compared=compared, threads=threads, progress=progress)
        self.reporter = Reporter(pool, self.tables, "cascade")

    def ensemble(self, members: Members) -> Evaluation:
        """The evaluation of the ensemble of these members."""
        return self.reporter.report([(tuple(members), (float("inf"),) * (len(members) - 1))])[0]

    def frontier(self, sequences: Sequence[Members], levels: int = 100) -> list[Evaluation]:
        """The frontier of the sequences and of their beginnings, by rising cost and quality.

        Exact over all real thresholds for sequences of up to 4 members; over percentile levels for longer ones.
        """
        prefixes = sorted({s[:k] for s in sequences for k in range(1, len(s) + 1)}, key=lambda s: (len(s), s))
        longest = len(prefixes[-1])
        candidates, rank = [], 0
        for size in range(1, longest + 1):
            of_size = np.array([s for s in prefixes if len(s) == size], np.int64)
            candidates.append(Candidates(size, of_size, np.arange(rank, rank + len(of_size))))
            rank += len(of_size)
        sweep = GridSearch(self.pool, self.tables, candidates, levels)
        mapper = Threads(self.threads)
        sweep.run(mapper)
        points = sweep.points()
        if longest <= THRESHOLDED + 1:
            proof = ExactSearch(sweep, self.tables)
            proof.run(mapper)
            points = proof.points()
        return self.reporter.report(points)


def cheapest(evaluations: Sequence[Evaluation], quality: float) -> Evaluation | None:
    """The evaluation of least average cost among those of at least this quality."""
    good = [e for e in evaluations if e.quality >= quality]
    return min(good, key=lambda e: (e.average_cost, -e.quality), default=None)


def best_within(evaluations: Sequence[Evaluation], cost: float) -> Evaluation | None:
    """The evaluation of highest quality among those of at most this average cost."""
    fitting = [e for e in evaluations if e.average_cost <= cost]
    return max(fitting, key=lambda e: (e.quality, -e.average_cost), default=None)
