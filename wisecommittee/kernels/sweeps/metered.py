"""Limits on totals of costs that vary per unit, and on the number of units whose cost passes a limit.

Both add up over the units and the stages that these run: a cost adds what the stage costs the unit, and the number of
units above a limit adds 1 at the stage where the unit's cumulative cost passes it. So each total rises with every
level, and the levels of stage 3 that keep a limit, at fixed levels of the stages before, are those below a stop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.bounds import fitting
from wisecommittee.kernels.jit import njit_inner
from wisecommittee.kernels.simd.arrays import empty
from wisecommittee.kernels.sums import add_line, cumulate, raise_from
from wisecommittee.kernels.sweeps.bins import bucket
from wisecommittee.kernels.sweeps.tiles import BLOCKS, TILES, cumulate_blocks, tile_step


class Metered(NamedTuple):
    """Q totals with a limit each, of a group of m cascades.

    stages : int64 [Q, K, N], what each stage that the cascades share adds for a unit that runs it
    lasts : int64 [Q, m, N], the same of each last member
    rooms : int64 [Q], the most that all these may add
    """

    stages: NDArray[np.int64]
    lasts: NDArray[np.int64]
    rooms: NDArray[np.int64]


@njit_inner
def left_after(entered, bins, levels1, levels2, metered):
    """int64 [Q, P1, P2]: what the last members may add to each total, by the levels of stages 1 and 2.

    entered : int32 [n], units that run stage 1; bins : three times unsigned [N]; metered : Metered, whose stages are
    the stages 1 to 3
    """
    bins1, bins2, _ = bins
    left = empty((metered.rooms.size, levels1, levels2), np.int64)
    cells = empty((levels1, levels2), np.int64)
    for q in range(metered.rooms.size):
        stages, room = metered.stages[q], metered.rooms[q]
        cells[:] = 0
        for i in entered:
            room -= stages[0, i]
            if bins1[i] < levels1:
                cells[bins1[i], 0] += stages[1, i]
                if bins2[i] < levels2:
                    cells[bins1[i], bins2[i]] += stages[2, i]
        cumulate(cells, left[q])
        for a in range(levels1):
            for b in range(levels2):
                left[q, a, b] = room - left[q, a, b]
    return left


@njit_inner
def rule_out(entered, tile_of, left, metered, kept, masks):
    """Take out of the masks the tiles whose lowest corner breaks a limit: all of their cells do. Members without tiles
    are dropped; returns how many stay, in front.

    tile_of : three times int64 [N], the first tile in which a unit continues at every level; left : as of left_after
    kept : int64 [s], last members, in and out; masks : uint16 [s, U, V], a bit for each tile of stage 3, in and out
    """
    tile1, tile2, tile3 = tile_of
    tiles1, tiles2 = masks.shape[1:]
    step1, step2 = tile_step(left.shape[1], TILES), tile_step(left.shape[2], TILES)
    load = empty((tiles1, tiles2, BLOCKS), np.int64)
    stay = 0
    for s in range(kept.size):
        for q in range(metered.rooms.size):
            fees = metered.lasts[q, kept[s]]
            load[:] = 0
            for i in entered:
                if fees[i] != 0 and tile1[i] < tiles1 and tile2[i] < tiles2 and tile3[i] < BLOCKS:
                    load[tile1[i], tile2[i], tile3[i]] += fees[i]
            cumulate_blocks(load)
            for u in range(tiles1):
                for v in range(tiles2):
                    for w in range(BLOCKS):
                        if load[u, v, w] > left[q, u * step1, v * step2]:
                            masks[s, u, v] &= ~(np.uint16(1) << np.uint16(w))
        if masks[s].any():
            kept[stay] = kept[s]
            masks[stay] = masks[s]
            stay += 1
    return stay


@njit_inner
def fill_stops(entered, bins, left, metered, members, stops):
    """For each last member and each pair of levels of stages 1 and 2, how many levels of stage 3 keep every limit.

    left : as of left_after; members : int64 [s], last members; stops : int32 [s, P1, P2] out, at first the number of
    levels of stage 3
    """
    bins1, bins2, bins3 = bins
    levels1, levels2 = stops.shape[1:]
    levels3 = stops[0, 0, 0]
    order, begins = bucket(entered, bins1, levels1)
    table, line = empty((levels2, levels3), np.int64), empty(levels3, np.int64)
    for q in range(metered.rooms.size):
        for s in range(members.size):
            fees = metered.lasts[q, members[s]]
            end = levels2  # from here on no level of stage 3 keeps the limit, now and at all later levels of stage 1
            table[:] = 0
            for j1 in range(levels1):
                for n in range(begins[j1], begins[j1 + 1]):
                    i = order[n]
                    if fees[i] != 0 and bins2[i] < end:
                        raise_from(table[bins2[i]], bins3[i], levels3, fees[i])
                line[:] = 0
                for j2 in range(end):
                    add_line(line, table[j2])
                    fits = fitting(line, left[q, j1, j2])
                    stops[s, j1, j2] = min(stops[s, j1, j2], fits)
                    if fits == 0:
                        end = j2
                        break
                stops[s, j1, end:] = 0
