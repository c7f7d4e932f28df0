"""Levels of the thresholds that the exact mode has to look at: a few hundred or thousand of each stage instead of N.

Call a unit a gain at stage k if it is wrong there and right at some later stage. Lowering a threshold to just above the
largest gain confidence below it lets only other units exit: cost does not rise, correct does not fall. So some optimum
has thresholds only just above gain confidences (also under limits on the units that run each stage: lowering a
threshold lowers every such number). At level j a unit continues iff its bin <= j, where bin = number of gain
confidences below its own; bin = levels: never.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.simd.arrays import empty


@njit_exact
def gain_levels(order, kind, gains, level_of, turn, bins):
    """Levels of a stage: the distinct-confidence numbers int32 of its gains, ascending.

    order : int32 [N] distinct-confidence number of each unit, 0 the least; kind : int32 [N]; gains : bool [kinds]
    level_of : int32 [distinct + 1] scratch; bins : int32 [N] out, of the units in turn (int32 [N])
    """
    level_of[:] = 0
    for i in range(order.size):
        level_of[order[i]] |= np.int32(gains[kind[i]])
    levels = np.int32(0)
    for d in range(level_of.size):
        own = level_of[d]
        level_of[d] = levels  # gain confidences below this one
        levels += own
    numbers = empty(levels, np.int32)
    for d in range(level_of.size - 1):
        if level_of[d + 1] > level_of[d]:
            numbers[level_of[d]] = d
    for place in range(order.size):
        bins[place] = level_of[order[turn[place]]]
    return numbers


@njit_exact
def number_confidences(lowest, by_score, weights, tiles):
    """Distinct confidences of a stage, and its units cut into tiles of about equal weight, no confidence into two.

    by_score : int64 [N] units by rising score; lowest : float32 [N] their scores, of those that count as equal the
    least; weights : int64 [N] above 0; tiles : at most 256
    Returns the distinct scores float32 [D], the number of each unit's int32 [N], the tile of each score uint8 [D] and
    of each unit uint8 [N].
    """
    distinct, tile_of = empty(lowest.size, np.float32), empty(lowest.size, np.uint8)
    order, tile = empty(lowest.size, np.int32), empty(lowest.size, np.uint8)
    total, reached, found = weights.sum(), np.int64(0), 0
    for place in range(by_score.size):
        i = by_score[place]
        if found == 0 or lowest[place] != distinct[found - 1]:
            distinct[found] = lowest[place]
            tile_of[found] = reached * tiles // total
            found += 1
        order[i] = found - 1
        tile[i] = tile_of[found - 1]
        reached += weights[i]
    return distinct[:found].copy(), order, tile_of[:found].copy(), tile
