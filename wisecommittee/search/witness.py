"""From a witness of the search to the committee that is reported: tiers, midpoint thresholds, the plain evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import Committee
from wisecommittee.search.evaluate import Evaluation, evaluate_table, identity
from wisecommittee.search.tables import Pool, StageTables, assemble, score_row


def reported_threshold(ordered: NDArray[np.float32], value: np.float32) -> np.float32:
    """The float32 midpoint between a level and the next lower distinct confidence, if it lies strictly above that one.

    ordered : float32 [N] confidences of the stage over all units, ascending.
    """
    place = int(np.searchsorted(ordered, value))
    if place == 0:
        return value
    lower = ordered[place - 1]
    middle = np.float32((np.float64(lower) + np.float64(value)) / 2)
    return middle if middle > lower else value


class Reporter:
    """Turns a witness into the committee that is reported, evaluated by the plain evaluator."""

    def __init__(self, pool: Pool, tables: StageTables, family: str, *, shared: bool = False) -> None:
        """shared : all stages have the same threshold, which then lies midway between confidences of all of them."""
        self.pool, self.tables, self.family, self.shared = pool, tables, family, shared
        self.members = {card.model: identity(card) for card in pool.cards}
        self._sorted: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def report(self, sequence: tuple[int, ...], values: tuple[float, ...]) -> Evaluation:
        """Merge stages where nobody exits, drop stages nobody reaches, put thresholds midway, evaluate."""
        stages: list[tuple[int, ...]] = []
        thresholds: list[float] = []
        waiting = np.ones(self.pool.units, dtype=bool)
        tier: tuple[int, ...] = ()
        for k, step in enumerate(sequence):
            tier = (*tier, step)
            last = k == len(sequence) - 1
            if last:
                leaves = waiting
            elif values[k] == float("inf"):
                continue  # nobody leaves
            else:
                row = score_row(self.pool, self.tables, sequence[: k + 1])
                leaves = waiting & (self.tables.score[row] >= np.float32(values[k]))
                if not leaves.any():
                    continue
            stages.append(tier)
            tier = ()
            waiting = waiting & ~leaves
            if last or not waiting.any():
                break
            thresholds.append(float(reported_threshold(self._ordered(sequence, k), np.float32(values[k]))))
        table = assemble(self.pool, self.tables, stages)
        members = [self.pool.members(stage) for stage in stages]
        if not self.pool.sequenced:
            members = [tuple(sorted(some)) for some in members]
        names = tuple(tuple(self.pool.cards[m].model for m in some) for some in members)
        committee = Committee(
            stages=names,
            thresholds=tuple(thresholds),
            confidence=self.pool.confidence_name,
            combine=self.pool.combine.name,
            family=self.family,
            cost=self.pool.cost.name,
            chosen_on=self.pool.split,
            members={name: self.members[name] for stage in names for name in stage},
        )
        return evaluate_table(table, committee, self.pool.task, self.pool.cost, self.pool.split)

    def _ordered(self, sequence: tuple[int, ...], stage: int) -> NDArray[np.float32]:
        """Ascending confidences that the threshold of this stage lies among."""
        ends = range(1, len(sequence)) if self.shared else (stage + 1,)
        rows = tuple(score_row(self.pool, self.tables, sequence[:end]) for end in ends)
        if rows not in self._sorted:
            self._sorted[rows] = np.sort(self.tables.score[list(rows)], axis=None)
        return self._sorted[rows]
