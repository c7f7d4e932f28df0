"""Safe screening: which boxes of real thresholds of a group of cascades can reach the envelope at all.

Three thresholded stages are shared by several last members (as in kernels/sweeps/grid.py). The units are cut into tiles
by their confidence at each stage, tile 0 the least confident. A box (u, v, w) holds every threshold from the least
confident unit of tile u on to just above the most confident: at stage 1 the units of tiles below u continue for sure,
those of tiles above u never, those of tile u are open; likewise v at stage 2 and w at stage 3. A virtual stage has one
tile, whose units continue for sure.

Each unit is at most as right as the best stage among those where it can leave, so none of these cascades has more
correct than

    top[u, v] + (what the last member gains up to the highest corner) - (what it loses up to the lowest)

where top sums the best of the first three stages, and none costs less than the lowest corner. Where the envelope has
that many correct at strictly less cost, nothing in the box can enter it. The tests are those of
kernels/sweeps/tiles.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.jit import njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import empty, zeros
from wisecommittee.kernels.sums import cumulate
from wisecommittee.kernels.sweeps import tiles

TILES = 32  # of each of the first two stages; tiles.BLOCKS of the third, each of two of these

WAYS = 7  # sets of stages, of the first three, at which a unit may exit


class ScreenedUnits(NamedTuple):
    """The units at the three stages that the cascades of a group share.

    tiles : three times uint8 [N]; real : for stages 1 and 2, 1, or 0 if the stage is virtual
    profile : int32 [N]; best : int32 [profiles, 7] the most that a unit has at stages 1, 2, 3, 1 or 2, 1 or 3, 2 or 3,
    any; fees : int64 [profiles, 2] cost of stages 2 and 3
    """

    tiles: tuple[NDArray[np.uint8], ...]
    real: tuple[int, int]
    profile: NDArray[np.int32]
    best: NDArray[np.int32]
    fees: NDArray[np.int64]


@njit_inner
def _pairs(units, spent, top, low):
    """top and low of every pair of tiles, int64 [U, V] out. units : ScreenedUnits; spent : total cost of stage 1"""
    tiles1, tiles2, _ = units.tiles
    real1, real2 = units.real
    profile, best, fees = units.profile, units.best, units.fees
    us, vs = top.shape
    sums = zeros((us, vs, WAYS), np.int32)
    fee2, fee3 = zeros(us, np.int64), zeros((us, vs), np.int64)
    left = np.int64(0)
    for i in range(profile.size):
        u, v, k = tiles1[i], tiles2[i], profile[i]
        for s in range(WAYS):
            sums[u, v, s] += best[k, s]
        left += best[k, 0]
        u += real1
        v += real2
        if u < us:
            fee2[u] += fees[k, 0]
            if v < vs:
                fee3[u, v] += fees[k, 1]
    cumulate(fee3, low)
    sure = zeros((vs, WAYS), np.int64)  # of the units that run stage 2 for sure
    for u in range(us):
        spent += fee2[u]
        right, open_right = np.int64(0), np.int64(0)  # of units in tiles above v: they exit at stage 2, or at 1 or 2
        for v in range(vs):
            left -= sums[u, v, 0]
            right += sure[v, 1]
            open_right += sums[u, v, 3]
        for v in range(vs):
            right -= sure[v, 1]
            open_right -= sums[u, v, 3]
            top[u, v] = left + right + sure[v, 5] + open_right + sums[u, v, 6]
            low[u, v] += spent
            right += sure[v, 2]  # units below v exit at stage 3, or at 1 or 3
            open_right += sums[u, v, 4]
        for v in range(vs):
            for s in range(WAYS):
                sure[v, s] += sums[u, v, s]


@njit_exact
def screen(units, changes, spent, offsets, last_fees, env_cost, masks):
    """Which boxes matter to each of m last members: masks uint16 [m, U, V] out, a bit for each tile of the third stage;
    returns bool [m] whether any does.

    units : ScreenedUnits; changes : tiles.Changes of the last members; spent : total cost of stage 1
    offsets, last_fees : int64 [m], added to the total cost, and cost for each unit (0 where it varies per unit)
    """
    tiles1, tiles2, tiles3 = units.tiles
    real1, real2 = units.real
    changed, amounts, starts = changes
    members, us, vs = masks.shape
    top, low = empty((us, vs), np.int64), empty((us, vs), np.int64)
    _pairs(units, spent, top, low)
    load, gain, loss = zeros((3, us, vs, tiles.BLOCKS), np.int32)
    for i in range(tiles1.size):
        u, v, w = tiles1[i] + real1, tiles2[i] + real2, tiles3[i] // 2 + 1
        if u < us and v < vs and w < tiles.BLOCKS:
            load[u, v, w] += 1
    tiles.cumulate_blocks(load)
    gained, reached = empty((us, vs), np.int32), empty((us, vs), np.int32)
    matters = zeros(members, np.bool_)
    for m in range(members):
        gained[:] = 0
        for n in range(starts[m], starts[m + 1]):
            gained[tiles1[changed[n]], tiles2[changed[n]]] += max(amounts[n], 0)
        cumulate(gained, reached)
        if not tiles.reach(top, reached, low, offsets[m], env_cost):
            continue
        gain[:] = 0
        loss[:] = 0
        for n in range(starts[m], starts[m + 1]):
            i, change = changed[n], amounts[n]
            u, v, w = tiles1[i], tiles2[i], tiles3[i] // 2
            if change > 0:
                gain[u, v, w] += change
            else:
                u += real1
                v += real2
                w += 1
                if u < us and v < vs and w < tiles.BLOCKS:
                    loss[u, v, w] -= change
        tiles.cumulate_blocks(gain)
        tiles.cumulate_blocks(loss)
        matters[m] = tiles.blocks(top, gain, loss, low, load, offsets[m], last_fees[m], env_cost, masks[m])
    return matters
