"""Every threshold vector of a group of cascades, in exact integers, folded into one envelope.

A group is (s1, s2, s3 | m): three thresholded stages shared by several last members m. Shorter cascades pad with
virtual stages at the front that everybody continues (one level, one bin, no cost). For levels (j1, j2, j3) a unit
continues at stage k iff bin_k <= j_k, so the number correct is

    base[j1, j2] + gain_m[j1, j2, j3],   gain_m = sum over units that continue at all three of (correct_4 - correct_3)

where base counts the cascade that stops at stage 3. Of a stage before these three, the levels are taken one after the
other, and each adds its units to the tables. kernels/sweeps/tiles.py then says for each last member which tiles of
levels can reach the envelope, mostly none. For what is left, units enter as j1 grows, into histograms over (bin_2,
level j3) whose rows are already cumulative in j3; adding rows over j2 gives a whole line of j3 in one pass.

The envelope is env[a] = least total cost with at least a correct, with its witness (rank of the combination, level
index). Cells are skipped only where the envelope already holds at least as many correct at strictly less cost, so the
result does not depend on the order of groups. Naive twin: tests/support/naive.py `search`.

Limits beside the worst case are limits on the units that run each stage (searches/limits.py); those numbers rise with
every level, so a sweep leaves a line, a slab or the group at the first violation.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import empty, zeros
from wisecommittee.kernels.sweeps import tiles

UNREACHED = np.int64(2**63 - 1)


@njit_exact
def bucket(units, bins, levels):
    """Counting sort: these units (int32 [n]) ordered by their bin in bins [N], and the start of each bin (int64 [levels
    + 1]). Units whose bin is `levels` or more are left out."""
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


@njit_inner
def _add_line(line, row):
    for j in range(line.size):
        line[j] += row[j]


@njit_inner
def _raise_from(row, start, amount):
    for j in range(np.uint64(start), np.uint64(row.size)):  # unsigned: no test for negative indices
        row[j] += amount


@njit_inner
def offer(env_cost, env_rank, env_level, correct, cost, rank, level):
    """Put one committee into the envelope: less cost first, then lower rank, then lower level index."""
    if cost < env_cost[correct]:
        a = correct
        while a >= 0 and env_cost[a] > cost:
            env_cost[a] = cost
            env_rank[a] = rank
            env_level[a] = level
            a -= 1
        return
    if cost > env_cost[correct] or (correct < env_cost.size - 1 and env_cost[correct + 1] <= cost):
        return
    # The holder has exactly as many correct at the same cost: a tie, which the lower (rank, level) wins.
    if rank < env_rank[correct] or (rank == env_rank[correct] and level < env_level[correct]):
        a = correct
        while a >= 0 and env_cost[a] == cost:
            env_rank[a] = rank
            env_level[a] = level
            a -= 1


@njit_inner
def room(entered, passed1, passed2, caps, others, ceilings):
    """Most units that may run the last of four stages, -1 if these numbers break a limit by themselves.

    entered, passed1, passed2 : units that run stages 1, 2 and 3; caps : int64 [4] most units that may run each stage
    others : int64 [Q, 4] what each stage adds to Q further costs; ceilings : int64 [Q] the most each may total
    """
    if entered > caps[0] or passed1 > caps[1] or passed2 > caps[2]:
        return np.int64(-1)
    most = caps[3]
    for q in range(ceilings.size):
        left = ceilings[q] - others[q, 0] * entered - others[q, 1] * passed1 - others[q, 2] * passed2
        if left < 0:
            return np.int64(-1)
        if others[q, 3] > 0:
            most = min(most, left // others[q, 3])
    return most


@njit_inner
def fitting(line, most):
    """How many entries of an ascending line do not exceed most."""
    low, high = 0, line.size
    while low < high:
        middle = (low + high) // 2
        if np.int64(line[middle]) <= most:
            low = middle + 1
        else:
            high = middle
    return low


@njit_exact
def sweep_group(
    everyone, bins0, bins, levels, right, units, changes, starts, stage_cost, stage_costs, last_cost, last_costs,
    correct, spent, offsets, ranks, outer_level, caps, others, ceilings, counts, gains, costs, env_cost, env_rank,
    env_level,
):  # fmt: skip
    """All levels of one group, offered to the envelope.

    everyone : int32 [N] all units; bins0 : unsigned [N] bins of the stage before the three, its number of levels where
    a unit never gets there
    bins : three times unsigned [N]; levels : (P0, P1, P2, P3), P0 = 1 where there is no stage before
    and everybody gets there
    right : four times int32 [N] quality at these stages, 0 at virtual ones
    units, changes, starts : what each last member changes after the third stage (tiles.changed_words)
    stage_cost : int64 [3] marginal costs of the three stages, or stage_costs : int64 [3, N] where they vary per unit
    last_cost : int64 [m] marginal cost of the last member, or last_costs : int64 [m, N]
    correct, spent : totals if everybody exits at the stage before
    offsets : int64 [m] what is added to the cost of each last member's cascades
    ranks : int64 [m]; outer_level : level index of the stages before these four
    caps : int64 [m, 4], others : int64 [m, Q, 4], ceilings : int64 [Q] as in `room`; caps [0, 4] where nothing is
    limited
    counts : int32 [P2, P3], gains : int32 [members at a time, P2, P3], costs : int64 of the same shape or [0, 0, 0]
    scratch
    """
    levels0, levels1, levels2, levels3 = levels
    bins1, bins2, bins3 = bins
    right0, right1, right2, right3 = right
    members, per_unit = ranks.size, stage_costs.size > 0
    us, high1, low1 = tiles.tile_maps(levels1, tiles.TILES)
    vs, high2, low2 = tiles.tile_maps(levels2, tiles.TILES)
    ws, high3, low3 = tiles.tile_maps(levels3, tiles.BLOCKS)
    some = empty(members, np.int64)
    for m in range(members):
        some[m] = m
    stops = starts[1:].copy()
    order0, starts0, begins = everyone, zeros(2, np.int64), zeros((members, 2), np.int64)
    if levels0 > 1:
        order0, starts0 = bucket(everyone, bins0, levels0)
        units, changes, begins = tiles.by_bin(units, changes, starts, stops, some, bins0, levels0)
    else:
        starts0[1] = everyone.size
        for m in range(members):
            begins[m, 0], begins[m, 1] = starts[m], stops[m]
    # Sums over the units that have come in, of each level of the first stage and of each pair of levels.
    first_right = zeros(levels1, np.int32)
    pair_right, pair_units = zeros((levels1, levels2), np.int32), zeros((levels1, levels2), np.int32)
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
            continue  # the same units continue as at the level before: nothing new
        entered = starts0[j0 + 1]
        for place in range(starts0[j0], entered):
            i = order0[place]
            a, b, here = bins1[i], bins2[i], right2[i]
            correct += np.int64(right1[i]) - np.int64(right0[i])
            first_right[a] += here - right1[i]
            pair_right[a, b] += right3[i] - here
            pair_units[a, b] += 1
            if per_unit:
                spent += stage_costs[0, i]
                first_spent[a] += stage_costs[1, i]
                pair_spent[a, b] += stage_costs[2, i]
            else:
                spent += stage_cost[0]
        for m in range(members):
            for place in range(begins[m, j0], begins[m, j0 + 1]):
                i = units[place]
                gained[m, high1[bins1[i]], high2[bins2[i]]] += max(changes[place], 0)
        if caps.shape[0] > 0 and _most_room(entered, np.int64(0), np.int64(0), caps, others, ceilings) < 0:
            break  # and more units at every later level
        tiles.cumulate(pair_right, base)
        tiles.cumulate(pair_units, passed)
        if per_unit:
            tiles.cumulate(pair_spent, paid)
        total, fees = np.int32(correct), np.int64(spent)
        for a in range(levels1):
            total += first_right[a]
            if per_unit:
                fees += first_spent[a]
                for b in range(levels2):
                    paid[a, b] += fees
            else:
                fee = fees + stage_cost[1] * np.int64(passed[a, levels2 - 1])
                for b in range(levels2):
                    paid[a, b] = fee + stage_cost[2] * np.int64(passed[a, b])
            for b in range(levels2):
                base[a, b] += total
        tiles.corners(base, passed, paid, top, low)
        found = 0
        for m in range(members):
            tiles.cumulate(gained[m], reached)
            if tiles.reach(top, reached, low, offsets[m], env_cost):
                some[found] = m
                found += 1
        if found == 0:
            continue
        load[:] = 0
        for place in range(entered):
            i = order0[place]
            u, v, w = low1[bins1[i]], low2[bins2[i]], low3[bins3[i]]
            if u < us and v < vs and w < ws:
                load[u, v, w] += 1
        tiles.cumulate_blocks(load)
        kept = 0
        for m in some[:found]:
            gain[:] = 0
            loss[:] = 0
            for place in range(starts[m], begins[m, j0 + 1]):
                i, change = units[place], changes[place]
                if change > 0:
                    gain[high1[bins1[i]], high2[bins2[i]], high3[bins3[i]]] += change
                else:
                    u, v, w = low1[bins1[i]], low2[bins2[i]], low3[bins3[i]]
                    if u < us and v < vs and w < ws:
                        loss[u, v, w] -= change
            tiles.cumulate_blocks(gain)
            tiles.cumulate_blocks(loss)
            fee = np.int64(0) if per_unit else last_cost[m]
            if tiles.blocks(top, gain, loss, low, load, offsets[m], fee, env_cost, masks[kept]):
                some[kept] = m
                kept += 1
        for m in range(members):
            stops[m] = begins[m, j0 + 1]
        level = outer_level + np.int64(j0) * levels1 * levels2 * levels3
        for first in range(0, kept, gains.shape[0]):
            last = min(first + gains.shape[0], kept)
            _sweep(
                order0[:entered], bins1, bins2, bins3, units, changes, starts, stops, some[first:last],
                masks[first:last], high1, high2, base, paid, last_cost, last_costs, offsets, ranks, level, caps, others,
                ceilings, counts, gains, costs, env_cost, env_rank, env_level,
            )  # fmt: skip


@njit_inner
def _most_room(entered, passed1, passed2, caps, others, ceilings):
    most = np.int64(-1)
    for m in range(caps.shape[0]):
        most = max(most, room(entered, passed1, passed2, caps[m], others[m], ceilings))
    return most


@njit_inner
def _sweep(
    entered, bins1, bins2, bins3, units, changes, starts, stops, some, masks, high1, high2, base, paid, last_cost,
    last_costs, offsets, ranks, outer_level, caps, others, ceilings, counts, gains, costs, env_cost, env_rank,
    env_level,
):  # fmt: skip
    """Every cell in the tiles of some members.

    entered : int32 [n] units; units[starts[m] : stops[m]], changes : what member m changes of them
    some : int64 [s] members; masks : uint16 [s, U, V] their tiles; base, paid : int64 [P1, P2] total correct and cost
    of the cascade that stops at the third stage. The rest as in `sweep_group`.
    """
    (levels1, levels2), levels3 = base.shape, counts.shape[1]
    per_unit, limited = last_costs.size > 0, caps.shape[0] > 0
    rooms = empty(some.size, np.int64)
    step3 = (levels3 + tiles.BLOCKS - 1) // tiles.BLOCKS
    order, places = bucket(entered, bins1, levels1)
    units, changes, begins = tiles.by_bin(units, changes, starts, stops, some, bins1, levels1)
    counts[:] = 0
    gains[: some.size] = 0
    costs[: some.size] = 0
    line_count = empty(levels3, np.int32)
    line_gain = empty((some.size, levels3), np.int32)
    line_cost = empty((some.size, levels3), np.int64)
    ends = zeros(masks.shape[1], np.int64)  # of the tiles of any of them
    for s in range(some.size):
        for u in range(masks.shape[1]):
            for v in range(masks.shape[2]):
                if masks[s, u, v] != 0:
                    ends[u] = max(ends[u], v + 1)
    for j1 in range(levels1):
        if places[j1] == places[j1 + 1]:
            continue
        for place in range(places[j1], places[j1 + 1]):
            i = order[place]
            _raise_from(counts[bins2[i]], bins3[i], np.int32(1))
            if per_unit:
                for s in range(some.size):
                    _raise_from(costs[s, bins2[i]], bins3[i], last_costs[some[s], i])
        for s in range(some.size):
            for place in range(begins[s, j1], begins[s, j1 + 1]):
                i = units[place]
                _raise_from(gains[s, bins2[i]], bins3[i], changes[place])
        u = high1[j1]
        if ends[u] == 0:
            continue
        line_count[:] = 0
        line_gain[:] = 0
        line_cost[:] = 0
        passed1, passed2 = places[j1 + 1], np.int64(0)
        if limited and _most_room(np.int64(entered.size), passed1, passed2, caps, others, ceilings) < 0:
            break
        for j2 in range(levels2):
            v = high2[j2]
            if v == ends[u]:
                break
            if counts[j2, levels3 - 1] == 0:
                continue
            passed2 += counts[j2, levels3 - 1]
            if limited:
                most_room = np.int64(-1)
                for s in range(some.size):
                    m = some[s]
                    rooms[s] = room(np.int64(entered.size), passed1, passed2, caps[m], others[m], ceilings)
                    most_room = max(most_room, rooms[s])
                if most_room < 0:
                    break
            _add_line(line_count, counts[j2])
            level12 = outer_level + (np.int64(j1) * levels2 + j2) * levels3
            for s in range(some.size):
                m = some[s]
                _add_line(line_gain[s], gains[s, j2])
                if per_unit:
                    _add_line(line_cost[s], costs[s, j2])
                mask = masks[s, u, v]
                if mask == 0:
                    continue
                low, right = offsets[m] + paid[j1, j2], np.int64(base[j1, j2])
                stop = fitting(line_count, rooms[s]) if limited else levels3
                for w in range(tiles.BLOCKS):
                    if not (mask >> np.uint16(w)) & np.uint16(1):
                        continue
                    for j3 in range(w * step3, min((w + 1) * step3, stop)):
                        extra = line_cost[s, j3] if per_unit else last_cost[m] * np.int64(line_count[j3])
                        total = right + np.int64(line_gain[s, j3])
                        if low + extra <= env_cost[total]:
                            offer(env_cost, env_rank, env_level, total, low + extra, ranks[m], level12 + j3)


@njit_exact
def merge(env_cost, env_rank, env_level, other_cost, other_rank, other_level):
    """Fold another envelope of the same size into the first."""
    for correct in range(other_cost.size - 1, -1, -1):
        cost = other_cost[correct]
        if cost != UNREACHED and (correct == other_cost.size - 1 or other_cost[correct + 1] > cost):
            offer(env_cost, env_rank, env_level, correct, cost, other_rank[correct], other_level[correct])


@njit_exact
def merge_corners(env_cost, env_rank, env_level, correct, cost, rank, level):
    """Fold the corners of another envelope, int64 [n] each by rising correct, into this one."""
    for place in range(correct.size - 1, -1, -1):
        offer(env_cost, env_rank, env_level, correct[place], cost[place], rank[place], level[place])
