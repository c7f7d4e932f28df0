"""Where the stage tables hold the correctness and the confidence of a sequence of tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.stages.correctness import Correctness
from wisecommittee.searches.stages.pool import Pool, Tiers, members_of
from wisecommittee.searches.stages.stage_tables import StageTables


@dataclass(frozen=True, slots=True)
class StageLookup:
    """What a search needs of pool and stage tables, and nothing that could not travel to a worker.

    nodes : node of each prefix; score_rows : int64 [nodes] row of its confidence; correct : of each node
    ordered : the newest member answers alone; stored : confidences are stored ones, with a row for each member
    """

    tiers: Tiers | None
    nodes: dict[tuple[int, ...], int]
    score_rows: NDArray[np.int64]
    correct: Correctness
    ordered: bool
    stored: bool

    @classmethod
    def of(cls, pool: Pool, tables: StageTables) -> StageLookup:
        stored = isinstance(pool.confidence, str)
        return cls(
            pool.tiers, tables.prefixes.find, tables.score_row, tables.correct, pool.combine.ordered, stored
        )  # fmt: skip

    def node(self, sequence: Sequence[int]) -> int:
        """The node of the prefix that answers after these tiers."""
        members = members_of(self.tiers, sequence)
        return self.nodes[members[-1:] if self.ordered else tuple(sorted(members))]

    def correct_of(self, sequence: Sequence[int]) -> NDArray[np.integer]:
        """Integer quality [N] of the prediction after these tiers."""
        return self.correct.row(self.node(sequence))

    def score_row(self, sequence: Sequence[int]) -> int:
        """Row of the confidence after these tiers."""
        if self.stored:
            return members_of(self.tiers, sequence)[-1]
        return int(self.score_rows[self.node(sequence)])

    def score_rows_of(self, head: Sequence[int]) -> list[int]:
        """Rows of the confidences after each of these tiers."""
        return [self.score_row(head[:k]) for k in range(1, len(head) + 1)]
