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
from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.simd.arrays import empty
from wisecommittee.kernels.sums import add_line, cumulate, raise_from
from wisecommittee.kernels.sweeps.bins import bucket
from wisecommittee.kernels.sweeps.tiles import BLOCKS, TILES, tile_step


class Metered(NamedTuple):
    """Q totals with a limit each, of a group of m cascades.

    stages : int64 [Q, K, N], what each stage that the cascades share adds for a unit that runs it
    lasts : int64 [Q, m, N], the same of each last member
    rooms : int64 [Q], the most that all these may add
    """

    stages: NDArray[np.int64]
    lasts: NDArray[np.int64]
    rooms: NDArray[np.int64]


@njit_exact
def fill_stops(entered, bins, levels3, metered, members, stops):
    """For each last member and each pair of levels of stages 1 and 2, how many levels of stage 3 keep every limit.

    entered : int32 [n], units that run stage 1; bins : three times unsigned [N]; metered : Metered, whose stages are
    the stages 1 to 3; members : int64 [s], which last members; stops : int32 [s, P1, P2], out
    """
    bins1, bins2, bins3 = bins
    _, levels1, levels2 = stops.shape
    stops[:] = levels3
    order, begins = bucket(entered, bins1, levels1)
    cells, spent = empty((levels1, levels2), np.int64), empty((levels1, levels2), np.int64)
    table, line = empty((levels2, levels3), np.int64), empty(levels3, np.int64)
    for q in range(metered.rooms.size):
        stages, left = metered.stages[q], metered.rooms[q]
        cells[:] = 0
        for i in entered:
            left -= stages[0, i]
            if bins1[i] < levels1:
                cells[bins1[i], 0] += stages[1, i]
                if bins2[i] < levels2:
                    cells[bins1[i], bins2[i]] += stages[2, i]
        cumulate(cells, spent)
        for s in range(members.size):
            fees = metered.lasts[q, members[s]]
            end = levels2  # from here on no level of stage 3 keeps the limit, now and at all later levels of stage 1
            table[:] = 0
            for j1 in range(levels1):
                for n in range(begins[j1], begins[j1 + 1]):
                    i = order[n]
                    if fees[i] != 0 and bins2[i] < levels2:
                        raise_from(table[bins2[i]], bins3[i], levels3, fees[i])
                line[:] = 0
                for j2 in range(end):
                    add_line(line, table[j2])
                    fits = fitting(line, left - spent[j1, j2])
                    stops[s, j1, j2] = min(stops[s, j1, j2], fits)
                    if fits == 0:
                        end = j2
                        break
                stops[s, j1, end:] = 0


@njit_exact
def clear(masks, stops, step3):
    """Take out of the masks the tiles in which no level of stage 3 keeps the limits; returns whether any is left.

    masks : uint16 [s, U, V], a bit for each block of `step3` levels of stage 3; stops : as of fill_stops
    """
    left = False
    step1, step2 = tile_step(stops.shape[1], TILES), tile_step(stops.shape[2], TILES)
    for s in range(masks.shape[0]):
        for u in range(masks.shape[1]):
            for v in range(masks.shape[2]):
                kept = (stops[s, u * step1, v * step2] + step3 - 1) // step3  # the stop is highest at the lowest levels
                for w in range(kept, BLOCKS):
                    masks[s, u, v] &= ~(np.uint16(1) << np.uint16(w))
                left = left or masks[s, u, v] != 0
    return left
