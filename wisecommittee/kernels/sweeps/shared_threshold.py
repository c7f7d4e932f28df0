"""One threshold for all stages, raised through every confidence of a group of cascades (see
searches/grid/shared_threshold.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.envelope import offer
from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.simd.arrays import zeros


class Events(NamedTuple):
    """The events of a rising threshold, in order: when it passes the highest confidence of a unit over the first k + 1
    stages, the unit continues after stage k.

    stages, units : int64 [E] k and the unit of each event; ends : int64 [G] where events of equal confidence end
    """

    stages: NDArray[np.int64]
    units: NDArray[np.int64]
    ends: NDArray[np.int64]


class StepChanges(NamedTuple):
    """What a unit adds to the totals (correct and cost) when it runs one more stage: int64 [K - 2, N] for the stages of
    the head after the first, int64 [N, m] for the last members."""

    correct: NDArray[np.int64]
    cost: NDArray[np.int64]
    last_correct: NDArray[np.int64]
    last_cost: NDArray[np.int64]


@njit_exact
def sweep_shared(events, changes, correct, cost, ranks, bounds, limits, envelope):
    """Offer every threshold of the cascades (head, m) to the envelope, from the lowest at which any unit continues.

    events : Events; changes : StepChanges; correct, cost : totals if every unit exits at the first stage
    ranks : int64 [m]; bounds : Bounds; limits : Metered, whose stages are those of the head after the first. The level
    index is the number of the events' confidence among the distinct ones.
    """
    stages, units, ends = events
    gains, costs, last_gains, last_costs = changes
    caps, charges, ceilings = bounds
    last = gains.shape[0]
    limited = caps.shape[0] > 0
    for m in range(ranks.size):
        ran = zeros(last + 2, np.int64)  # units that run each stage
        ran[0] = last_gains.shape[0]
        right, spent = np.int64(correct), np.int64(cost)
        left = limits.rooms.copy()
        at = 0
        for level in range(ends.size):
            for event in range(at, ends[level]):
                k, i = stages[event], units[event]
                ran[k + 1] += 1
                if k < last:
                    right += gains[k, i]
                    spent += costs[k, i]
                else:
                    right += last_gains[i, m]
                    spent += last_costs[i, m]
                for q in range(left.size):
                    left[q] -= limits.stages[q, k, i] if k < last else limits.lasts[q, m, i]
            at = ends[level]
            if limited or left.size > 0:
                fits = left.size == 0 or left.min() >= 0
                for k in range(last + 2):
                    fits = fits and (not limited or ran[k] <= caps[m, k])
                for q in range(ceilings.size):
                    total = np.int64(0)
                    for k in range(last + 2):
                        total += charges[m, q, k] * ran[k]
                    fits = fits and total <= ceilings[q]
                if not fits:
                    break  # a higher threshold runs no stage for fewer units
            if spent <= envelope.cost[right]:
                offer(envelope, right, spent, ranks[m], np.int64(level))
