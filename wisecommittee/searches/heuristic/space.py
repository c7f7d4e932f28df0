"""The problem that beam and greedy search solve (SearchSpace) and their result (Outcome)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.heuristic.neighbours import Combination, Neighbours
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.workers.threads import Progress


@dataclass(frozen=True, slots=True)
class Outcome:
    """points : non-dominated cascades by rising cost; combinations, vectors : how many were tried."""

    points: list[Point]
    combinations: int
    vectors: int


@dataclass(frozen=True, slots=True)
class Extensions:
    """The first stages of a cascade (head) and the tiers that can close it.

    lasts : int64 [m] tiers. worst : int64 [m] cost of all members of head and tier.
    """

    head: Combination
    lasts: NDArray[np.int64]
    worst: NDArray[np.int64]

    @property
    def sequences(self) -> list[Combination]:
        return [(*self.head, tier) for tier in self.lasts.tolist()]

    @property
    def prefixes(self) -> list[Combination]:
        """The prefixes of the cascades that have a threshold: the head and its beginnings."""
        return [self.head[:k] for k in range(1, len(self.head) + 1)]


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The cascades of a pool that a search may grow.

    max_models : stages at most. max_worst : limit on the cost of all members, in the integers of pool.cost. stop : once
    it is set, the search returns the best cascades so far.
    """

    pool: Pool
    neighbours: Neighbours
    max_models: int
    max_worst: int | None = None
    threads: int = 1
    progress: Progress | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def extensions(self, head: Combination, lasts: Sequence[int] | None = None) -> Extensions:
        """The head with these tiers (default: every tier that can come next) that keep the limit on the worst case."""
        tiers = np.array(self.neighbours.extensions(head) if lasts is None else lasts, np.int64)
        worst = self.pool.cost.worst(np.column_stack([np.tile(np.array(head, np.int64), (len(tiers), 1)), tiers]))
        if self.max_worst is not None:
            keep = worst <= self.max_worst
            tiers, worst = tiers[keep], worst[keep]
        return Extensions(head, tiers, worst)

    def starts(self) -> Extensions:
        """All committees of one stage, every model by itself among them; an error where none keeps the limit."""
        tiers = sorted({*range(len(self.pool.cards)), *self.neighbours.extensions(())})
        extensions = self.extensions((), tiers)
        if self.max_worst is not None and not len(extensions.lasts):
            cost = self.pool.cost
            least = min(int(cost.worst(np.array([tier]))) for tier in tiers)
            raise InfeasibleError(
                f"no committee costs at most {cost.true(self.max_worst):.6g} {cost.name} in the worst case; the "
                f"cheapest model costs {cost.true(least):.6g}"
            )
        return extensions

    def report(self, task: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(task, done, total)
