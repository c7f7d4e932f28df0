"""Branch and bound over boxes of threshold levels of one cascade of up to four stages.

A box holds the levels (j1, j2, j3) from its lowest corner to its highest. A unit continues at stage k iff its bin_k <=
j_k, so in a box it continues for sure (bin at most the lowest level), never (bin above the highest), or it is open. A
unit is counted at the first stage where it is open: which stages it runs before is known, and at the lowest corner it
exits there. A unit whose exit is the same in the whole box is settled, and smaller boxes do not look at it again.

Bound. Above the lowest corner, with `base` correct at cost `low`, the open units of stage k that continue are those up
to level j_k. Each changes the number correct by at most the best it can reach from there (change), and costs at least
the fees of the stages that it then runs for sure (extra). So for any price per unit of cost, over the whole box,

    WORTH * (correct - base) - price * (cost - low)  <=  the sum over stages k of the greatest prefix sum by level of
                                                         (WORTH * change - price * extra)  =: most

and with price 0 the same bounds the number correct itself. A cell with q correct is dominated if the envelope has that
many below `low`, or if price * (env_cost[q] - low) < WORTH * (q - base) - most, for then it costs more than
env_cost[q]. A box is left out if this holds for every q that it can reach; only cells that the envelope beats strictly
are lost. Costs are compared in units of 2^shift: extras are rounded down one by one, so their sum is no more than the
rounded cost, and being above a rounded-down number implies being above the number.

Boxes that stay are halved where the bound is loosest; small ones are evaluated cell by cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.bounds import room
from wisecommittee.kernels.envelope import offer
from wisecommittee.kernels.jit import njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import empty, zeros

CELLS = 512  # a box of at most so many cells is evaluated instead of halved
COST_BITS = 32  # costs above the least, in units of 2^shift, have at most so many bits
WORTH = np.int64(2**32)  # weight of one correct unit against its cost
_DEAREST = np.int64(2**29)  # largest price: price times cost stays below 2^62
STACK = 100  # boxes that wait: one for each halving of three numbers below 2^32, and a few more


class Profiles(NamedTuple):
    """Correctness and cost of the units of each profile at the stages of one cascade.

    correct : int64 [profiles, 4] quality after each stage; fees : int64 [profiles, 3] cost of stages 2, 3 and 4
    coarse : int64 [profiles, 3], fees >> shift
    """

    correct: NDArray[np.int64]
    fees: NDArray[np.int64]
    coarse: NDArray[np.int64]


class Levels(NamedTuple):
    """sizes : (P1, P2, P3), levels of the three stages; tiles : int64 [3, >= levels], tile of each level
    masks : uint16 [T, T], which tiles can enter the envelope, with a bit for each tile of the third stage
    """

    sizes: tuple[int, ...]
    tiles: NDArray[np.int64]
    masks: NDArray[np.uint16]


class Open(NamedTuple):
    """Scratch: what the open units of each stage change, by level above the lowest, int64 [3, >= levels] each, and how
    many these units are, int64 [3]."""

    change: NDArray[np.int64]
    extra: NDArray[np.int64]
    units: NDArray[np.int64]


@njit_inner
def _narrow(units, start, stop, box, profiles, totals, low, opened):
    """Write the open units of units[start:stop] to units[stop:], and count the settled ones.

    units : int32 [., 4] bins at the three stages and profile; box : int64 [6] lowest and highest level of each stage
    totals : int64 [5] correct, cost, and units that run stages 2, 3 and 4, of settled units, in and out
    low : int64 [5] out, the same at the lowest corner, open units included; opened : Open, out
    """
    quality, fees, coarse = profiles
    change, extra, units_of = opened
    a1, z1, a2, z2, a3, z3 = box[0], box[1], box[2], box[3], box[4], box[5]
    for k in range(3):
        for j in range(box[2 * k + 1] - box[2 * k]):
            change[k, j] = 0
            extra[k, j] = 0
    correct, spent, ran2, ran3, ran4 = totals[0], totals[1], totals[2], totals[3], totals[4]
    low_correct, low_spent, low2, low3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    at, open2, open3 = stop, np.int64(0), np.int64(0)
    for n in range(start, stop):
        b1, b2, b3, profile = units[n, 0], units[n, 1], units[n, 2], units[n, 3]
        if b1 > z1:
            correct += quality[profile, 0]
            continue
        # The most that the third and fourth stage can gain once the unit runs the third, and what they cost for sure.
        last, more = quality[profile, 2], np.int64(0)
        if b3 <= a3:
            last, more = quality[profile, 3], coarse[profile, 2]
        elif b3 <= z3:
            last = max(last, quality[profile, 3])
        if b1 <= a1:
            if b2 > z2:
                correct += quality[profile, 1]
                spent += fees[profile, 0]
                ran2 += 1
                continue
            if b2 <= a2:
                if b3 > z3 or b3 <= a3:
                    ran2 += 1
                    ran3 += 1
                    correct += last
                    spent += fees[profile, 0] + fees[profile, 1]
                    if b3 <= a3:
                        spent += fees[profile, 2]
                        ran4 += 1
                    continue
                low_correct += quality[profile, 2]
                low_spent += fees[profile, 0] + fees[profile, 1]
                low2 += 1
                low3 += 1
                open3 += 1
                change[2, b3 - a3 - 1] += quality[profile, 3] - quality[profile, 2]
                extra[2, b3 - a3 - 1] += coarse[profile, 2]
            else:
                low_correct += quality[profile, 1]
                low_spent += fees[profile, 0]
                low2 += 1
                open2 += 1
                change[1, b2 - a2 - 1] += last - quality[profile, 1]
                extra[1, b2 - a2 - 1] += coarse[profile, 1] + more
        else:
            most, least = quality[profile, 1], coarse[profile, 0]
            if b2 <= a2:
                most = last
                least += coarse[profile, 1] + more
            elif b2 <= z2:
                most = max(most, last)
            low_correct += quality[profile, 0]
            change[0, b1 - a1 - 1] += most - quality[profile, 0]
            extra[0, b1 - a1 - 1] += least
        units[at, 0] = b1
        units[at, 1] = b2
        units[at, 2] = b3
        units[at, 3] = profile
        at += 1
    totals[0], totals[1], totals[2], totals[3], totals[4] = correct, spent, ran2, ran3, ran4
    low[0], low[1], low[2], low[3], low[4] = correct + low_correct, spent + low_spent, ran2 + low2, ran3 + low3, ran4
    units_of[0], units_of[1], units_of[2] = at - stop - open2 - open3, open2, open3


@njit_inner
def _greatest(change, extra, size, price):
    """The greatest prefix sum of WORTH * change - price * extra, the empty one included."""
    total, most = np.int64(0), np.int64(0)
    for j in range(size):
        total += WORTH * change[j] - price * extra[j]
        most = max(most, total)
    return most


@njit_inner
def _bound(box, low, opened, shift, env_cost):
    """Whether some cell of a box may enter the envelope. box, low, opened : as `_narrow` leaves them."""
    change, extra = opened.change, opened.extra
    best = np.int64(env_cost.size - 1)
    top = low[0]
    for k in range(3):
        top += _greatest(change[k], extra[k], box[2 * k + 1] - box[2 * k], np.int64(0)) // WORTH
    top = min(top, best)
    if env_cost[top] < low[1]:
        return False
    # The first number correct that the envelope does not hold below the lowest cost.
    first = top
    while first > low[0] and env_cost[first - 1] >= low[1]:
        first -= 1
    if first == low[0]:
        return True
    apart = (env_cost[top] - low[1]) >> shift
    if apart <= 0 or apart >> np.int64(COST_BITS) > 0:
        return True
    # Chord: at this price the first and the last of these numbers are as hard to rule out.
    price = min(_DEAREST, WORTH * (top - first + 1) // apart)
    most = np.int64(0)
    for k in range(3):
        most += _greatest(change[k], extra[k], box[2 * k + 1] - box[2 * k], price)
    open_to = False
    for q in range(first, top + 1):
        open_to = open_to or WORTH * (q - low[0]) - most <= price * ((env_cost[q] - low[1]) >> shift)
    return open_to


@njit_inner
def _cells(units, start, stop, box, profiles, totals, levels, rank, right, paid, envelope):
    """Offer every cell of a box. right, paid : int64 [3, >= CELLS] scratch, what units change at each stage."""
    quality, fees = profiles.correct, profiles.fees
    d1, d2, d3 = box[1] - box[0] + 1, box[3] - box[2] + 1, box[5] - box[4] + 1
    for k in range(3):
        for cell in range(d1 * d2 * d3):
            right[k, cell] = 0
            paid[k, cell] = 0
    correct, spent = totals[0], totals[1]
    for n in range(start, stop):
        x1 = max(np.int64(units[n, 0]) - box[0], np.int64(0))
        x2 = max(np.int64(units[n, 1]) - box[2], np.int64(0))
        x3 = max(np.int64(units[n, 2]) - box[4], np.int64(0))
        profile = units[n, 3]
        correct += quality[profile, 0]
        right[0, x1] += quality[profile, 1] - quality[profile, 0]
        paid[0, x1] += fees[profile, 0]
        if x2 < d2:
            cell = x1 * d2 + x2
            right[1, cell] += quality[profile, 2] - quality[profile, 1]
            paid[1, cell] += fees[profile, 1]
            if x3 < d3:
                right[2, cell * d3 + x3] += quality[profile, 3] - quality[profile, 2]
                paid[2, cell * d3 + x3] += fees[profile, 2]
    _cumulate(right, d1, d2, d3)
    _cumulate(paid, d1, d2, d3)
    for j1 in range(d1):
        for j2 in range(d2):
            pair = j1 * d2 + j2
            exited, low = correct + right[0, j1] + right[1, pair], spent + paid[0, j1] + paid[1, pair]
            level = ((box[0] + j1) * levels[1] + box[2] + j2) * levels[2] + box[4]
            for j3 in range(d3):
                total, cost = exited + right[2, pair * d3 + j3], low + paid[2, pair * d3 + j3]
                if cost <= envelope.cost[total]:
                    offer(envelope, total, cost, rank, level + j3)


@njit_inner
def _cumulate(sums, d1, d2, d3):
    """Cumulative sums in place, over all levels up to each: [0, d1], [1, d1 * d2] and [2, d1 * d2 * d3]."""
    for j1 in range(1, d1):
        sums[0, j1] += sums[0, j1 - 1]
        for pair in range(j1 * d2, (j1 + 1) * d2):
            sums[1, pair] += sums[1, pair - d2]
        for cell in range(j1 * d2 * d3, (j1 + 1) * d2 * d3):
            sums[2, cell] += sums[2, cell - d2 * d3]
    for j1 in range(d1):
        for j2 in range(1, d2):
            pair = j1 * d2 + j2
            sums[1, pair] += sums[1, pair - 1]
            for cell in range(pair * d3, (pair + 1) * d3):
                sums[2, cell] += sums[2, cell - d3]
    for pair in range(d1 * d2):
        for cell in range(pair * d3 + 1, (pair + 1) * d3):
            sums[2, cell] += sums[2, cell - 1]


@njit_inner
def _tighten(masks, tiles, box, ends):
    """Cut a box down to the levels between the first and the last tile that is marked in it; whether any is.

    masks : uint16 [T, T], bits by tile of the third stage; tiles : int64 [3, levels] of each level; ends : int64 [6]
    scratch
    """
    bits = (np.uint32(2) << np.uint32(tiles[2, box[5]])) - (np.uint32(1) << np.uint32(tiles[2, box[4]]))
    every = np.uint32(0)
    for k in range(3):
        ends[2 * k], ends[2 * k + 1] = 256, -1
    for u in range(tiles[0, box[0]], tiles[0, box[1]] + 1):
        for v in range(tiles[1, box[2]], tiles[1, box[3]] + 1):
            marked = np.uint32(masks[u, v]) & bits
            if marked != 0:
                every |= marked
                ends[0], ends[1] = min(ends[0], u), u
                ends[2], ends[3] = min(ends[2], v), max(ends[3], v)
    for w in range(32):
        if (every >> np.uint32(w)) & np.uint32(1):
            ends[4], ends[5] = min(ends[4], w), w
    for k in range(3):
        low, high = box[2 * k], box[2 * k + 1]
        while low <= high and tiles[k, low] < ends[2 * k]:
            low += 1
        while low <= high and tiles[k, high] > ends[2 * k + 1]:
            high -= 1
        if low > high:
            return False
        box[2 * k], box[2 * k + 1] = low, high
    return True


@njit_exact
def search_boxes(units, count, profiles, levels, shift, spent, bounds, rank, scratch, envelope):
    """Offer all cells of one cascade that can enter the envelope; returns how many boxes were looked at.

    units : int32 [>= 2 * count, 4] bins at the three stages, and profile, of all `count` units, and room for more
    profiles : Profiles; levels : Levels; bounds : Bounds of this one cascade; spent : total cost of stage 1
    shift : costs above the least, >> shift, stay below 2^COST_BITS; scratch : Open
    The level index is (j1 * P2 + j2) * P3 + j3.
    """
    right, paid = empty((3, CELLS), np.int64), empty((3, CELLS), np.int64)
    sizes, low, marked = levels.sizes, empty(5, np.int64), empty(6, np.int64)
    stack = zeros((STACK, 13), np.int64)
    stack[0, 1], stack[0, 3], stack[0, 5] = sizes[0] - 1, sizes[1] - 1, sizes[2] - 1
    stack[0, 7], stack[0, 9] = count, spent
    waiting, looked = 1, 0
    while waiting > 0:
        waiting -= 1
        box, ends, totals = stack[waiting, 0:6], stack[waiting, 6:8], stack[waiting, 8:13]
        start, stop = ends[0], ends[1]
        if not _tighten(levels.masks, levels.tiles, box, marked):
            continue
        looked += 1
        if units.shape[0] < 2 * stop - start:
            units = _grown(units, stop)
        _narrow(units, start, stop, box, profiles, totals, low, scratch)
        opened = scratch.units
        open_units = opened[0] + opened[1] + opened[2]
        if low[3] + open_units == 0 or room(bounds, 0, count, low[2], low[3]) < low[4]:
            continue  # no unit runs the third stage (a shorter cascade), or a limit is broken everywhere
        if not _bound(box, low, scratch, shift, envelope.cost):
            continue
        cells = (box[1] - box[0] + 1) * (box[3] - box[2] + 1) * (box[5] - box[4] + 1)
        within = room(bounds, 0, count, low[2] + open_units, low[3] + open_units) >= low[4] + open_units
        if cells == 1 or (cells <= CELLS and low[3] > 0 and within):
            _cells(units, stop, stop + open_units, box, profiles, totals, sizes, rank, right, paid, envelope)
            continue
        # Halve the stage where most units are open; the lower half comes first.
        widest = -1
        for k in range(3):
            if box[2 * k + 1] > box[2 * k] and (widest < 0 or opened[k] > opened[widest]):
                widest = k
        middle = (box[2 * widest] + box[2 * widest + 1]) // 2
        ends[0], ends[1] = stop, stop + open_units
        for j in range(13):
            stack[waiting + 1, j] = stack[waiting, j]
        stack[waiting, 2 * widest] = middle + 1
        stack[waiting + 1, 2 * widest + 1] = middle
        waiting += 2
    return looked


@njit_inner
def _grown(units, used):
    more = empty((2 * units.shape[0], 4), np.int32)
    for n in range(used):
        for j in range(4):
            more[n, j] = units[n, j]
    return more
