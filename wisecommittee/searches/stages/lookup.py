"""Where the stage tables hold the correctness and the confidence after a combination of tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.stages.correctness import Correctness
from wisecommittee.searches.stages.pool import Tiers, deciding_models, members_of


@dataclass(frozen=True, slots=True)
class StageLookup:
    """The part of pool and stage tables that a sweep needs, small enough to be pickled for workers.

    nodes : {deciding models: node}; score_rows : int64 [nodes] row of each node's confidence, -1 where it is never
    compared; correct : of every node; ordered : whether the newest member answers alone; stored : whether confidences
    are stored scores, which have a row for each member
    """

    tiers: Tiers | None
    nodes: dict[tuple[int, ...], int]
    score_rows: NDArray[np.int64]
    correct: Correctness
    ordered: bool
    stored: bool

    def node(self, combination: Sequence[int]) -> int:
        """The node of the prefix that decides the prediction after these tiers."""
        return self.nodes[deciding_models(members_of(self.tiers, combination), self.ordered)]

    def correct_of(self, combination: Sequence[int]) -> NDArray[np.integer]:
        """Integer quality [N] of the prediction after these tiers."""
        return self.correct.row(self.node(combination))

    def score_row(self, combination: Sequence[int]) -> int:
        """The row of the confidence after these tiers; -1 if it is never compared."""
        if self.stored:
            return members_of(self.tiers, combination)[-1]
        return int(self.score_rows[self.node(combination)])

    def score_rows_of(self, head: Sequence[int]) -> list[int]:
        """The rows of the confidences after each tier of a head."""
        return [self.score_row(head[:k]) for k in range(1, len(head) + 1)]
