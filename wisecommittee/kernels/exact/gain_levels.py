"""The threshold levels that suffice for the exact mode: a few hundred or thousand of each stage instead of N.

Call a unit a gain at stage k if it is wrong there and right at some later stage. Lowering a threshold to just above the
largest gain confidence below it lets only other units exit: cost does not rise, correct does not fall. So some optimum
has thresholds only just above gain confidences (also under limits on the units that run each stage: lowering a
threshold lowers every such number). At level j a unit continues iff its bin <= j, where bin = number of gain
confidences below its confidence; a unit with bin = levels never continues.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.simd.arrays import empty


@njit_exact
def gain_levels(number, profile, gains, level_of, order, bins):
    """Levels of a stage: the numbers, among its distinct confidences, of the gain confidences, int32, ascending.

    number : int32 [N] number of each unit's confidence, 0 the least; profile : int32 [N]; gains : bool [profiles]
    level_of : int32 [distinct + 1] scratch; order : int32 [N] units; bins : int32 [N] out, bin of each unit of `order`
    """
    level_of[:] = 0
    for i in range(number.size):
        level_of[number[i]] |= np.int32(gains[profile[i]])
    levels = np.int32(0)
    for d in range(level_of.size):
        is_level = level_of[d]
        level_of[d] = levels  # gain confidences below this one
        levels += is_level
    numbers = empty(levels, np.int32)
    for d in range(level_of.size - 1):
        if level_of[d + 1] > level_of[d]:
            numbers[level_of[d]] = d
    for n in range(order.size):
        bins[n] = level_of[number[order[n]]]
    return numbers


@njit_exact
def number_confidences(lowest, by_score, weights, tiles):
    """Distinct confidences of a stage, and its units cut into tiles of about equal weight; units of equal confidence
    share a tile.

    by_score : int64 [N] units by rising score; lowest : float32 [N] their scores in this order, each replaced by the
    least of those that count as equal to it; weights : int64 [N] above 0; tiles : how many, at most 256 Returns the
    distinct scores float32 [D]; the number of each unit's score among them int32 [N]; the tile of each distinct score
    uint8 [D] and of each unit uint8 [N].
    """
    distinct, tile_of = empty(lowest.size, np.float32), empty(lowest.size, np.uint8)
    number, tile = empty(lowest.size, np.int32), empty(lowest.size, np.uint8)
    total, reached, count = weights.sum(), np.int64(0), 0
    for n in range(by_score.size):
        i = by_score[n]
        if count == 0 or lowest[n] != distinct[count - 1]:
            distinct[count] = lowest[n]
            tile_of[count] = reached * tiles // total
            count += 1
        number[i] = count - 1
        tile[i] = tile_of[count - 1]
        reached += weights[i]
    return distinct[:count].copy(), number, tile_of[:count].copy(), tile
