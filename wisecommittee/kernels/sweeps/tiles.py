"""Which threshold levels of a group of cascades can reach the envelope at all, tile by tile.

Three thresholded stages are shared by several last members (see kernels/sweeps/grid.py). Their levels are cut into
TILES x TILES x BLOCKS tiles. At every cell of a tile, the units that continue include those that continue at its lowest
corner and are among those that continue at its highest corner, so no cell has more correct than

    top[u, v] + (units the last member gets right up to the highest corner) - (those it gets wrong up to the lowest)

where top is the most that the cascade which stops at the third stage has right there, and none costs less than the
lowest corner. Where the envelope has that many correct at strictly less cost, nothing in the tile can enter it, ties
included. Limits only forbid more.

For each last member, only the units whose correctness it changes are read: a tenth of all or fewer. `reach` tests tiles
of the first two stages, which rules out most members; `blocks` tests tiles of all three.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.jit import njit_exact, njit_inner, ones, trailing_zeros
from wisecommittee.kernels.simd.arrays import empty, zeros

TILES = 25  # of the levels of each of the first two stages, at most
BLOCKS = 16  # of the levels of the third: one vector of int32


class Changes(NamedTuple):
    """Units whose answer each of m last members changes, one member after the other.

    units : int32 [n]; changes : int32 [n], correct with the last member minus correct without it; starts : int64 [m +
    1], where the units of each member start
    """

    units: NDArray[np.int32]
    changes: NDArray[np.int32]
    starts: NDArray[np.int64]


@njit_exact
def changed_words(before, after):
    """Units whose answer changes between two prefixes, from bits of the units that are right.

    before : uint64 [W]; after : uint64 [m, W]. Returns Changes.
    """
    starts = zeros(after.shape[0] + 1, np.int64)
    for m in range(after.shape[0]):
        total = np.int64(0)
        for w in range(before.size):
            total += np.int64(ones(before[w] ^ after[m, w]))
        starts[m + 1] = starts[m] + total
    units = empty(starts[-1], np.int32)
    changes = empty(starts[-1], np.int32)
    for m in range(after.shape[0]):
        at = starts[m]
        for w in range(before.size):
            x = before[w] ^ after[m, w]
            while x != 0:
                bit = trailing_zeros(x)
                units[at] = np.int32(w * 64) + np.int32(bit)
                changes[at] = np.int32(1) - np.int32(2) * np.int32((before[w] >> bit) & np.uint64(1))
                at += 1
                x &= x - np.uint64(1)
    return Changes(units, changes, starts)


@njit_exact
def changed_grades(before, after):
    """The same from integer grades: before [N], after [m, N]. Returns Changes."""
    starts = zeros(after.shape[0] + 1, np.int64)
    for m in range(after.shape[0]):
        starts[m + 1] = starts[m] + (after[m] != before).sum()
    units = empty(starts[-1], np.int32)
    changes = empty(starts[-1], np.int32)
    at = 0
    for m in range(after.shape[0]):
        for i in range(before.size):
            if after[m, i] != before[i]:
                units[at] = i
                changes[at] = after[m, i] - before[i]
                at += 1
    return Changes(units, changes, starts)


@njit_exact
def by_bin(changed, stops, members, bins, levels):
    """The changes of these members sorted by the bin of the unit: units, changes and the start of each bin, int64 [s,
    levels + 1].

    changed : Changes, of which those of member m count up to stops[m]; members : int64 [s]; bins : unsigned [N]. Units
    whose bin is `levels` or more are left out.
    """
    units, changes, starts = changed
    begins = zeros((members.size, levels + 1), np.int64)
    sorted_units = empty(units.size, np.int32)
    sorted_changes = empty(units.size, np.int32)
    fill = empty(levels, np.int64)
    for s in range(members.size):
        start, stop = starts[members[s]], stops[members[s]]
        for n in range(start, stop):
            if bins[units[n]] < levels:
                begins[s, bins[units[n]] + 1] += 1
        begins[s, 0] = start
        for j in range(levels):
            fill[j] = begins[s, j]
            begins[s, j + 1] += begins[s, j]
        for n in range(start, stop):
            j = bins[units[n]]
            if j < levels:
                sorted_units[fill[j]] = units[n]
                sorted_changes[fill[j]] = changes[n]
                fill[j] += 1
    return sorted_units, sorted_changes, begins


@njit_inner
def tile_step(levels, most):
    """How many levels of a stage a tile holds, where there are at most `most` tiles."""
    return (levels + most - 1) // most


@njit_exact
def tile_maps(levels, most):
    """The levels of a stage cut into at most `most` tiles. Returns (tiles, high, low), int64 [levels] both.

    high[b] : first tile in which a unit of bin b continues at some level
    low[b] : first tile in which it continues at every level; `tiles` if there is none
    """
    step = tile_step(levels, most)
    high, low = empty(levels, np.int64), empty(levels, np.int64)
    for b in range(levels):
        high[b] = b // step
        low[b] = (b + step - 1) // step
    return (levels + step - 1) // step, high, low


@njit_inner
def cumulate_blocks(table):
    """In place: table[u, v, w] = sum of table[: u + 1, : v + 1, : w + 1], of [U, V, BLOCKS]."""
    for u in range(table.shape[0]):
        for v in range(table.shape[1]):
            for w in range(1, BLOCKS):
                table[u, v, w] += table[u, v, w - 1]
        for v in range(1, table.shape[1]):
            for w in range(BLOCKS):
                table[u, v, w] += table[u, v - 1, w]
        if u:
            for v in range(table.shape[1]):
                for w in range(BLOCKS):
                    table[u, v, w] += table[u - 1, v, w]


@njit_exact
def corners(base, passed, paid, top, low):
    """top, low : int64 [U, V] out. top[u, v] = the most correct at any cell of the tile at which more units continue
    than at the cell before, -1 if there is no such cell; low[u, v] = the least cost.

    base, passed, paid : [P1, P2] correct, units that run the third stage, and cost of the cascade that stops at it
    """
    levels1, levels2 = base.shape
    step1, step2 = tile_step(levels1, TILES), tile_step(levels2, TILES)
    for u in range(top.shape[0]):
        for v in range(top.shape[1]):
            low[u, v] = paid[u * step1, v * step2]
            top[u, v] = -1
        for a in range(u * step1, min((u + 1) * step1, levels1)):
            if a > 0 and passed[a, levels2 - 1] == passed[a - 1, levels2 - 1]:
                continue
            before = np.int32(0)
            for v in range(top.shape[1]):
                most = np.int32(-1)
                for b in range(v * step2, min((v + 1) * step2, levels2)):
                    most = max(most, base[a, b] if passed[a, b] > before else np.int32(-1))
                    before = passed[a, b]
                top[u, v] = max(top[u, v], most)


@njit_exact
def reach(top, gain, low, offset, env_cost):
    """Whether any tile of the first two stages can reach the envelope. gain : [U, V] units that the last member gets
    right, up to the highest corner."""
    best = env_cost.size - 1
    for u in range(top.shape[0]):
        for v in range(top.shape[1]):
            if top[u, v] >= 0 and env_cost[min(top[u, v] + gain[u, v], best)] >= offset + low[u, v]:
                return True
    return False


@njit_exact
def blocks(top, gain, loss, low, load, offset, fee, env_cost, masks):
    """Which tiles can reach the envelope: masks uint16 [U, V] out, a bit for each block of the third stage; returns
    whether any bit is set.

    gain, loss : [U, V, BLOCKS] what the last member gains up to the highest corner, and loses up to the lowest
    load : [U, V, BLOCKS] units up to the lowest corner, each of which pays `fee` for the last member
    """
    best = env_cost.size - 1
    marked = False
    for u in range(top.shape[0]):
        for v in range(top.shape[1]):
            masks[u, v] = 0
            most = top[u, v]
            lowest = offset + low[u, v]
            if most < 0 or env_cost[min(most + np.int64(gain[u, v, BLOCKS - 1]), best)] < lowest:
                continue
            for w in range(BLOCKS):
                correct = max(0, min(most + np.int64(gain[u, v, w]) - np.int64(loss[u, v, w]), best))
                if env_cost[correct] >= lowest + fee * np.int64(load[u, v, w]):
                    masks[u, v] |= np.uint16(1) << np.uint16(w)
            marked = marked or masks[u, v] != 0
    return marked
