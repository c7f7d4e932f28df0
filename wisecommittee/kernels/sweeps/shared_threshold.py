"""One threshold for all stages, raised through every confidence of a group of cascades (see
searches/grid/shared_threshold.py)."""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.simd.arrays import zeros
from wisecommittee.kernels.sweeps.grid import offer


@njit_exact
def sweep_shared(
    stages, units, ends, gains, costs, last_gains, last_costs, correct, cost, ranks, caps, others, ceilings, env_cost,
    env_rank, env_level,
):  # fmt: skip
    """Offer every threshold of the cascades (head, m) to the envelope, from the lowest at which anybody continues.

    stages, units : int [E] events in order: as the threshold passes the highest confidence that a unit has had at the
    first k + 1 stages, it continues after stage k; ends : int64 [G] where events of equal confidence end
    gains, costs : int64 [K - 2, N] what running a further stage of the head changes; last_gains, last_costs : int64 [N,
    m] the same for the last stages; correct, cost : totals if everybody exits at the first stage; ranks : int64 [m]
    caps : int64 [m, K], others : int64 [m, Q, K], ceilings : int64 [Q] as in `grid.room`; caps [0, K] where nothing is
    limited. The level index is the number of the events' confidence among the distinct ones.
    """
    last = gains.shape[0]
    limited = caps.shape[0] > 0
    for m in range(ranks.size):
        ran = zeros(last + 2, np.int64)  # units that run each stage
        ran[0] = last_gains.shape[0]
        right, spent = np.int64(correct), np.int64(cost)
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
            at = ends[level]
            if limited:
                fits = True
                for k in range(last + 2):
                    fits = fits and ran[k] <= caps[m, k]
                for q in range(ceilings.size):
                    total = np.int64(0)
                    for k in range(last + 2):
                        total += others[m, q, k] * ran[k]
                    fits = fits and total <= ceilings[q]
                if not fits:
                    break  # a higher threshold runs no stage for fewer units
            if spent <= env_cost[right]:
                offer(env_cost, env_rank, env_level, right, spent, ranks[m], np.int64(level))
