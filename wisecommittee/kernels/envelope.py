"""The envelope: for every number of correct units, the cheapest committee that has at least as many.

It is the exact frontier of everything offered to it. Ties are broken by rank and level index, so the result does not
depend on the order of offers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.jit import njit_exact, njit_inner

UNREACHED = np.int64(2**63 - 1)


class Corners(NamedTuple):
    """The entries of an envelope at which its cost steps, int64 [n] each, by rising number correct."""

    correct: NDArray[np.int64]
    cost: NDArray[np.int64]
    rank: NDArray[np.int64]
    level: NDArray[np.int64]


class Envelope(NamedTuple):
    """int64 [most + 1] each, indexed by the number correct `a`.

    cost[a] : least total cost of a committee with at least `a` correct; UNREACHED where there is none
    rank[a] : rank of its combination of models in the order of ties; -1 where there is none
    level[a] : index of its thresholds among those of the combination
    """

    cost: NDArray[np.int64]
    rank: NDArray[np.int64]
    level: NDArray[np.int64]

    @classmethod
    def empty(cls, most: int) -> Envelope:
        """Before the first offer, for numbers correct up to `most`."""
        return cls(np.full(most + 1, UNREACHED), np.full(most + 1, -1), np.full(most + 1, -1))

    def copy(self) -> Envelope:
        return Envelope(*(array.copy() for array in self))

    def corners(self) -> Corners:
        """The entries that `merge` needs of this envelope: at ten million units a whole envelope is 240 MB."""
        at = steps(self.cost)
        return Corners(at, *(array[at] for array in self))


def steps(cost: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers correct at which the cost of an envelope steps: the points of its frontier."""
    above = np.r_[cost[1:], UNREACHED]
    return np.flatnonzero((cost < above) & (cost != UNREACHED))


@njit_inner
def offer(envelope, correct, cost, rank, level):
    """Put one committee into the envelope: less cost first, then lower rank, then lower level index."""
    costs, ranks, levels = envelope
    if cost < costs[correct]:
        a = correct
        while a >= 0 and costs[a] > cost:
            costs[a] = cost
            ranks[a] = rank
            levels[a] = level
            a -= 1
        return
    if cost > costs[correct] or (correct < costs.size - 1 and costs[correct + 1] <= cost):
        return
    # The holder has exactly as many correct at the same cost: a tie, which the lower (rank, level) wins.
    if rank < ranks[correct] or (rank == ranks[correct] and level < levels[correct]):
        a = correct
        while a >= 0 and costs[a] == cost:
            ranks[a] = rank
            levels[a] = level
            a -= 1


@njit_exact
def merge(envelope, corners):
    """Offer the corners of another envelope to this one."""
    for n in range(corners.correct.size - 1, -1, -1):
        offer(envelope, corners.correct[n], corners.cost[n], corners.rank[n], corners.level[n])
