"""Bins: how many levels of a stage lie at or below the confidence of a unit, and units sorted by them."""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.simd.arrays import empty, zeros


@njit_exact
def bin_units(score, levels, bins):
    """bins[i] = how many of the levels are at or below score[i].

    score : float32 [N]; levels : float32 [2^b - 1] ascending, NaN behind the last; bins : unsigned [N] out. Each step
    of the binary search is done for all units, which vectorises: a tenth of the time of numpy's searchsorted.
    """
    below = zeros(score.size, np.uint32)
    step = np.uint32((levels.size + 1) // 2)
    while step > 0:
        for i in range(score.size):
            reached = below[i] + step
            below[i] = reached if levels[reached - np.uint32(1)] <= score[i] else below[i]
        step >>= np.uint32(1)
    for i in range(score.size):
        bins[i] = below[i]


@njit_exact
def bucket(units, bins, levels):
    """Counting sort: `units` (int32 [n]) ordered by their bin in bins [N], and the start of each bin (int64 [levels +
    1]). Units whose bin is `levels` or more are left out."""
    starts = zeros(levels + 1, np.int64)
    for i in units:
        if bins[i] < levels:
            starts[bins[i] + 1] += 1
    for j in range(levels):
        starts[j + 1] += starts[j]
    order = empty(starts[levels], np.int32)
    fill = zeros(levels, np.int64)
    for i in units:
        j = bins[i]
        if j < levels:
            order[starts[j] + fill[j]] = i
            fill[j] += 1
    return order, starts
