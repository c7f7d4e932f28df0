"""Every threshold vector of a group of cascades, in exact integers, offered to one envelope.

A group is (s1, s2, s3 | m): three thresholded stages shared by several last members m. Shorter cascades have virtual
stages in front at which every unit continues (one level, one bin, no cost). For levels (j1, j2, j3) a unit continues at
stage k iff bin_k <= j_k, so the number correct is

    base[j1, j2] + gain_m[j1, j2, j3],   gain_m = sum over units that continue at all three of (correct_4 - correct_3)

where base counts the cascade that stops at stage 3. A longer cascade has a stage 0 before the three, whose levels are
taken one after the other; each level adds its units to the tables. For each last member, kernels/sweeps/tiles.py then
rules out the tiles of levels that cannot reach the envelope, mostly all. For the tiles that are left, units enter as j1
grows, into histograms over (bin_2, level j3) whose rows are already cumulative in j3; adding rows over j2 gives a whole
line of j3 in one pass.

Cells are skipped only where the envelope already holds at least as many correct at strictly less cost, so the result
does not depend on the order of groups. Naive twin: tests/support/naive.py `search`.

Limits beside the worst case, on costs that are the same for every unit, are limits on the units that run each stage
(searches/limits.py); those numbers rise with every level, so a sweep leaves a line, a slab or the group at the first
violation. Limits on costs that vary per unit end each line of stage 3 at a stop (metered.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.bounds import fitting, most_room, room
from wisecommittee.kernels.envelope import offer
from wisecommittee.kernels.jit import njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import empty, zeros
from wisecommittee.kernels.sums import add_line, cumulate, raise_from
from wisecommittee.kernels.sweeps import metered, tiles
from wisecommittee.kernels.sweeps.bins import bucket


class GridStages(NamedTuple):
    """The last four stages before the last members of a group: stage 0, whose levels are taken one after the other, and
    stages 1 to 3.

    bins : four times unsigned [N]; at stage 0, the number of its levels if the unit has exited before
    levels : four times the number of levels; 1 at stage 0 where every unit goes on from there
    correct : four times int32 [N], quality of the prediction after each stage; 0 at virtual stages
    fees : int64 [3, N], what stages 1 to 3 add to the cost of a unit; [3, 1] where that is the same for every unit
    """

    bins: tuple[NDArray[np.unsignedinteger], ...]
    levels: tuple[int, ...]
    correct: tuple[NDArray[np.int32], ...]
    fees: NDArray[np.int64]


class Lasts(NamedTuple):
    """The m last members of a group.

    changes : for each last member, the units whose correctness it changes after stage 3, and by how much
    fees : int64 [m, N] or [m, 1], what each adds to the cost of a unit that runs it
    offsets : int64 [m], added to the total cost; ranks : int64 [m], of the combinations
    """

    changes: tiles.Changes
    fees: NDArray[np.int64]
    offsets: NDArray[np.int64]
    ranks: NDArray[np.int64]


class Settled(NamedTuple):
    """Totals before stage 1: correct and cost if every unit exits at stage 0, and the level index of the stages
    before."""

    correct: int
    cost: int
    level: int


class Histograms(NamedTuple):
    """Scratch for n last members at a time: units int32 [P2, P3]; gains int32 [n, P2, P3]; costs int64 [n, P2, P3], or
    [0, 0, 0] where costs do not vary per unit."""

    units: NDArray[np.int32]
    gains: NDArray[np.int32]
    costs: NDArray[np.int64]


class PairTotals(NamedTuple):
    """Total correct and total cost of the cascade that stops at stage 3, by the levels of stages 1 and 2: [P1, P2]."""

    correct: NDArray[np.int32]
    cost: NDArray[np.int64]


@njit_exact
def sweep_group(stages, lasts, bounds, limits, settled, scratch, envelope):
    """Offer every vector of levels of one group to the envelope.

    stages : GridStages; lasts : Lasts; bounds : Bounds of the last four stages; limits : Metered, of stages 1 to 3;
    settled : Settled; scratch : Histograms
    """
    bins0, bins1, bins2, bins3 = stages.bins
    levels0, levels1, levels2, levels3 = stages.levels
    correct0, correct1, correct2, correct3 = stages.correct
    stage_fees, last_fees = stages.fees, lasts.fees
    units, changes, starts = lasts.changes
    members, per_unit = lasts.ranks.size, stage_fees.shape[1] > 1
    us, high1, low1 = tiles.tile_maps(levels1, tiles.TILES)
    vs, high2, low2 = tiles.tile_maps(levels2, tiles.TILES)
    ws, high3, low3 = tiles.tile_maps(levels3, tiles.BLOCKS)
    kept = empty(members, np.int64)
    everyone = empty(bins0.size, np.int32)
    for m in range(members):
        kept[m] = m
    for i in range(bins0.size):
        everyone[i] = i
    stops = starts[1:].copy()
    order0, starts0, begins = everyone, zeros(2, np.int64), zeros((members, 2), np.int64)
    if levels0 > 1:
        order0, starts0 = bucket(everyone, bins0, levels0)
        units, changes, begins = tiles.by_bin(lasts.changes, stops, kept, bins0, levels0)
    else:
        starts0[1] = everyone.size
        for m in range(members):
            begins[m, 0], begins[m, 1] = starts[m], stops[m]
    # Sums over the units that have come in, of each level of stage 1 and of each pair of levels of stages 1 and 2.
    correct, spent = np.int64(settled.correct), np.int64(settled.cost)
    first_correct = zeros(levels1, np.int32)
    pair_correct, pair_units = zeros((levels1, levels2), np.int32), zeros((levels1, levels2), np.int32)
    shape = (levels1, levels2) if per_unit else (0, 0)
    first_spent, pair_spent = zeros(levels1, np.int64), zeros(shape, np.int64)
    base, passed = empty((levels1, levels2), np.int32), empty((levels1, levels2), np.int32)
    paid = empty((levels1, levels2), np.int64)
    top, low = empty((us, vs), np.int64), empty((us, vs), np.int64)
    gained = zeros((members, us, vs), np.int32)
    reached = empty((us, vs), np.int32)
    load, gain, loss = empty((3, us, vs, tiles.BLOCKS), np.int32)
    masks = empty((members, us, vs), np.uint16)
    for j0 in range(levels0):
        if starts0[j0] == starts0[j0 + 1]:
            continue  # the same units continue as at the level before
        entered = starts0[j0 + 1]
        for n in range(starts0[j0], entered):
            i = order0[n]
            a, b, second = bins1[i], bins2[i], correct2[i]
            correct += np.int64(correct1[i]) - np.int64(correct0[i])
            first_correct[a] += second - correct1[i]
            pair_correct[a, b] += correct3[i] - second
            pair_units[a, b] += 1
            if per_unit:
                spent += stage_fees[0, i]
                first_spent[a] += stage_fees[1, i]
                pair_spent[a, b] += stage_fees[2, i]
            else:
                spent += stage_fees[0, 0]
        for m in range(members):
            for n in range(begins[m, j0], begins[m, j0 + 1]):
                i = units[n]
                gained[m, high1[bins1[i]], high2[bins2[i]]] += max(changes[n], 0)
        if bounds.caps.shape[0] > 0 and most_room(bounds, entered, np.int64(0), np.int64(0)) < 0:
            break  # and more units at every later level
        cumulate(pair_correct, base)
        cumulate(pair_units, passed)
        if per_unit:
            cumulate(pair_spent, paid)
        total, fees = np.int32(correct), np.int64(spent)
        for a in range(levels1):
            total += first_correct[a]
            if per_unit:
                fees += first_spent[a]
                for b in range(levels2):
                    paid[a, b] += fees
            else:
                fee = fees + stage_fees[1, 0] * np.int64(passed[a, levels2 - 1])
                for b in range(levels2):
                    paid[a, b] = fee + stage_fees[2, 0] * np.int64(passed[a, b])
            for b in range(levels2):
                base[a, b] += total
        tiles.corners(base, passed, paid, top, low)
        reaching = 0
        for m in range(members):
            cumulate(gained[m], reached)
            if tiles.reach(top, reached, low, lasts.offsets[m], envelope.cost):
                kept[reaching] = m
                reaching += 1
        if reaching == 0:
            continue
        load[:] = 0
        for n in range(entered):
            i = order0[n]
            u, v, w = low1[bins1[i]], low2[bins2[i]], low3[bins3[i]]
            if u < us and v < vs and w < ws:
                load[u, v, w] += 1
        tiles.cumulate_blocks(load)
        left = 0
        for m in kept[:reaching]:
            gain[:] = 0
            loss[:] = 0
            for n in range(starts[m], begins[m, j0 + 1]):
                i, change = units[n], changes[n]
                if change > 0:
                    gain[high1[bins1[i]], high2[bins2[i]], high3[bins3[i]]] += change
                else:
                    u, v, w = low1[bins1[i]], low2[bins2[i]], low3[bins3[i]]
                    if u < us and v < vs and w < ws:
                        loss[u, v, w] -= change
            tiles.cumulate_blocks(gain)
            tiles.cumulate_blocks(loss)
            fee = np.int64(0) if per_unit else last_fees[m, 0]
            if tiles.blocks(top, gain, loss, low, load, lasts.offsets[m], fee, envelope.cost, masks[left]):
                kept[left] = m
                left += 1
        for m in range(members):
            stops[m] = begins[m, j0 + 1]
        level = settled.level + np.int64(j0) * levels1 * levels2 * levels3
        within = Lasts(tiles.Changes(units, changes, starts), last_fees, lasts.offsets, lasts.ranks)
        metering = limits.rooms.size > 0
        room_left = empty((0, 0, 0), np.int64)
        if metering:
            room_left = metered.left_after(order0[:entered], (bins1, bins2, bins3), levels1, levels2, limits)
            tile_of = low1[bins1], low2[bins2], low3[bins3]
            left = metered.rule_out(order0[:entered], tile_of, room_left, limits, kept[:left], masks[:left])
        batch = scratch.gains.shape[0]
        for first in range(0, left, batch):
            last = min(first + batch, left)
            keeping = empty((last - first if metering else 0, levels1, levels2), np.int32)
            keeping[:] = levels3
            if metering:
                metered.fill_stops(
                    order0[:entered], (bins1, bins2, bins3), room_left, limits, kept[first:last], keeping
                )  # fmt: skip
            _sweep(
                order0[:entered], (bins1, bins2, bins3), within, stops, kept[first:last], masks[first:last],
                (high1, high2), PairTotals(base, paid), level, bounds, keeping, scratch, envelope,
            )  # fmt: skip


@njit_inner
def _sweep(
    entered, bins, lasts, stops, members, masks, tile_of, totals, first_level, bounds, keeping, scratch, envelope
):  # fmt: skip
    """Every cell in the tiles of some of the last members.

    entered : int32 [n] units that get to stage 1; bins : three times unsigned [N]
    stops : int64 [m], where the changes of each last member end for the units that get to stage 1
    members : int64 [s], which last members; masks : uint16 [s, U, V], the tiles of each; tile_of : the tile of each
    level of stages 1 and 2; totals : PairTotals; first_level : level index of the first cell; keeping : int32 [s, P1,
    P2], how many levels of stage 3 keep the limits on costs that vary per unit; [0, P1, P2] without such limits
    """
    bins1, bins2, bins3 = bins
    tile1, tile2 = tile_of
    base, paid = totals
    counts, gains, costs = scratch
    last_fees = lasts.fees
    (levels1, levels2), levels3 = base.shape, counts.shape[1]
    per_unit, limited = last_fees.shape[1] > 1, bounds.caps.shape[0] > 0
    rooms = empty(members.size, np.int64)
    step3 = tiles.tile_step(levels3, tiles.BLOCKS)
    order, begins1 = bucket(entered, bins1, levels1)
    units, changes, begins = tiles.by_bin(lasts.changes, stops, members, bins1, levels1)
    counts[:] = 0
    gains[: members.size] = 0
    costs[: members.size] = 0
    line_count = empty(levels3, np.int32)
    line_gain = empty((members.size, levels3), np.int32)
    line_cost = empty((members.size, levels3), np.int64)
    ends = zeros(masks.shape[1], np.int64)  # one past the last tile that any of the members marks
    for s in range(members.size):
        for u in range(masks.shape[1]):
            for v in range(masks.shape[2]):
                if masks[s, u, v] != 0:
                    ends[u] = max(ends[u], v + 1)
    for j1 in range(levels1):
        if begins1[j1] == begins1[j1 + 1]:
            continue
        for n in range(begins1[j1], begins1[j1 + 1]):
            i = order[n]
            raise_from(counts[bins2[i]], bins3[i], levels3, np.int32(1))
            if per_unit:
                for s in range(members.size):
                    raise_from(costs[s, bins2[i]], bins3[i], levels3, last_fees[members[s], i])
        for s in range(members.size):
            for n in range(begins[s, j1], begins[s, j1 + 1]):
                i = units[n]
                raise_from(gains[s, bins2[i]], bins3[i], levels3, changes[n])
        u = tile1[j1]
        if ends[u] == 0:
            continue
        line_count[:] = 0
        line_gain[:] = 0
        line_cost[:] = 0
        passed1, passed2 = begins1[j1 + 1], np.int64(0)
        if limited and most_room(bounds, np.int64(entered.size), passed1, passed2) < 0:
            break
        for j2 in range(levels2):
            v = tile2[j2]
            if v == ends[u]:
                break
            if counts[j2, levels3 - 1] == 0:
                continue
            passed2 += counts[j2, levels3 - 1]
            if limited:
                largest = np.int64(-1)
                for s in range(members.size):
                    rooms[s] = room(bounds, members[s], np.int64(entered.size), passed1, passed2)
                    largest = max(largest, rooms[s])
                if largest < 0:
                    break
            add_line(line_count, counts[j2])
            level12 = first_level + (np.int64(j1) * levels2 + j2) * levels3
            for s in range(members.size):
                m = members[s]
                add_line(line_gain[s], gains[s, j2])
                if per_unit:
                    add_line(line_cost[s], costs[s, j2])
                mask = masks[s, u, v]
                if mask == 0:
                    continue
                low, correct = lasts.offsets[m] + paid[j1, j2], np.int64(base[j1, j2])
                stop = fitting(line_count, rooms[s]) if limited else levels3
                if keeping.shape[0] > 0:
                    stop = min(stop, np.int64(keeping[s, j1, j2]))
                for w in range(tiles.BLOCKS):
                    if not (mask >> np.uint16(w)) & np.uint16(1):
                        continue
                    for j3 in range(w * step3, min((w + 1) * step3, stop)):
                        extra = line_cost[s, j3] if per_unit else last_fees[m, 0] * np.int64(line_count[j3])
                        total = correct + np.int64(line_gain[s, j3])
                        if low + extra <= envelope.cost[total]:
                            offer(envelope, total, low + extra, lasts.ranks[m], level12 + j3)
