"""Two sweeps for pools too large for the grid over everything: one head with many last members, and one threshold.

grow        the last three thresholds of head + (last,) on a coarse grid, jointly, for each of many last members
sweep_line  one threshold of one cascade over every value it can take, the others fixed

Both offer what they find to the envelope of kernels/sweeps/grid.py. Naive twin: tests/support/naive.py `evaluate` at
every cell.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import float_bits, njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import zeros
from wisecommittee.kernels.sweeps.grid import offer

BUCKET_BITS = 14  # of a float32's mantissa dropped: 512 buckets of cost per octave


@njit_exact
def pair_table(bins1, bins2, weights1, weights2, start, table):
    """table[j1, j2] = start + sum of weights1 where bin1 <= j1 + sum of weights2 where also bin2 <= j2.

    bins1, bins2 : integer [n]; weights1, weights2 : int64 [n]; table : int64 [P1, P2] out.
    """
    levels1, levels2 = table.shape
    first = zeros(levels1, np.int64)
    table[:] = 0
    for i in range(bins1.size):
        first[bins1[i]] += weights1[i]
        table[bins1[i], bins2[i]] += weights2[i]
    for j1 in range(levels1):
        for j2 in range(1, levels2):
            table[j1, j2] += table[j1, j2 - 1]
    for j1 in range(1, levels1):
        first[j1] += first[j1 - 1]
        for j2 in range(levels2):
            table[j1, j2] += table[j1 - 1, j2]
    for j1 in range(levels1):
        for j2 in range(levels2):
            table[j1, j2] += start + first[j1]


@njit_exact
def cost_bucket(cost, first, buckets):
    """Index of a cost on a logarithmic scale, clipped to [0, buckets); first : bucket number of index 0."""
    place = (np.int64(float_bits(np.float32(cost))) >> BUCKET_BITS) - first
    return min(max(place, np.int64(0)), buckets - 1)


@njit_inner
def _raise(line, start, stop, amount):
    for j in range(np.uint64(start), np.uint64(stop)):
        line[j] += amount


@njit_inner
def _accumulate(table, here, left, above, corner, width):
    """Row `here` of a table, flat, becomes its sum over all rows to the left and above; returns its largest entry.

    left, above, corner : starts of the finished neighbours, -1 where there is none.
    """
    h, w = np.uint64(here), np.uint64(width)
    if left >= 0:
        o = np.uint64(left)
        for j in range(w):
            table[h + j] += table[o + j]
    if above >= 0:
        o = np.uint64(above)
        for j in range(w):
            table[h + j] += table[o + j]
    if corner >= 0:
        o = np.uint64(corner)
        for j in range(w):
            table[h + j] -= table[o + j]
    top = table[h]
    for j in range(w):
        top = max(top, table[h + j])
    return np.int64(top)


@njit_exact
def grow(
    cells, correct, extended, base, spent, last_cost, unit_cost, ranks, first_level, radix, shape, counts, gains, costs,
    expected, first_bucket, bands, lead, lead_level, env_cost, env_rank, env_level,
):  # fmt: skip
    """Every cell of the last three thresholds of head + (last,), for each last member.

    cells : int32 [n] (bin_1 * P2 + bin_2) * P3 + bin_3 of the units that are not settled before these three stages
    correct : int32 [n] quality of the head; extended : integer [m, n] quality with each last member
    base, spent : int64 [P1, P2] total correct and total cost of the cascade that stops at the head
    last_cost : int64 [m] cost of each last member, or unit_cost : int64 [m, n] where it varies per unit
    ranks : int64 [m]; shape = (P1, P2, P3); radix : int64 [2] steps of j1 and j2 in the level index
    counts, gains : int32 [P1 * P2 * P3], costs : int64 [P1 * P2 * P3] or [0] scratch
    expected : int64 [buckets] correct that shorter committees reach at a cost; bands : int64 [buckets] band of it
    lead : int64 [m, bands] largest advance over `expected` in each band, in and out; lead_level : its level index
    """
    p1, p2, p3 = shape
    counts[:] = 0
    for i in range(cells.size):
        row = cells[i] // p3 * p3
        _raise(counts, cells[i], row + p3, np.int32(1))
    for j1 in range(p1):
        for j2 in range(p2):
            here = (j1 * p2 + j2) * p3
            left = here - p3 if j2 > 0 else -1
            above = here - p2 * p3 if j1 > 0 else -1
            corner = here - p2 * p3 - p3 if j1 > 0 and j2 > 0 else -1
            _accumulate(counts, here, left, above, corner, p3)
    buckets = np.int64(expected.size)
    varies = unit_cost.size > 0
    for m in range(ranks.size):
        gains[:] = 0
        costs[:] = 0
        for i in range(cells.size):
            gain = np.int32(extended[m, i]) - correct[i]
            if gain != 0:
                _raise(gains, cells[i], cells[i] // p3 * p3 + p3, gain)
            if varies:
                _raise(costs, cells[i], cells[i] // p3 * p3 + p3, unit_cost[m, i])
        fee = last_cost[m]
        least = lead[m].min()
        for j1 in range(p1):
            for j2 in range(p2):
                here = (j1 * p2 + j2) * p3
                left = here - p3 if j2 > 0 else -1
                above = here - p2 * p3 if j1 > 0 else -1
                corner = here - p2 * p3 - p3 if j1 > 0 and j2 > 0 else -1
                most = base[j1, j2] + _accumulate(gains, here, left, above, corner, p3)
                if varies:
                    _accumulate(costs, here, left, above, corner, p3)
                reach = counts[here + p3 - 1]
                if reach == 0 or (left >= 0 and counts[left + p3 - 1] == reach):
                    continue  # nobody new: the cells at the left hold the same
                low = spent[j1, j2]
                if env_cost[most] < low and most - expected[cost_bucket(low, first_bucket, buckets)] <= least:
                    continue
                level = first_level + j1 * radix[0] + j2 * radix[1]
                before = np.int32(0)
                for j3 in range(p3):
                    reach = counts[here + j3]
                    if reach == before:
                        continue
                    before = reach
                    cost = low + (costs[here + j3] if varies else fee * np.int64(reach))
                    total = base[j1, j2] + np.int64(gains[here + j3])
                    if cost <= env_cost[total]:
                        offer(env_cost, env_rank, env_level, total, cost, ranks[m], level + j3)
                    bucket = cost_bucket(cost, first_bucket, buckets)
                    ahead = total - expected[bucket]
                    band = bands[bucket]
                    if ahead > lead[m, band]:
                        lead[m, band] = ahead
                        lead_level[m, band] = level + j3
                        least = lead[m].min()


@njit_exact
def sweep_line(
    order, numbers, correct, cumulative, thresholds, free, rank, first_level, gain, extra, env_cost, env_rank, env_level
):  # fmt: skip
    """Every value of one threshold: the units that reach it, by rising confidence, continue one tie after the other.

    order : integer [N] units by rising numbers[free]; numbers : integer [K - 1, N] number of each unit's confidence
    among the distinct ones of its stage; correct : integer [K, N]; cumulative : int64 [K, N], or [K, 1] if it is the
    same for every unit
    thresholds : int64 [K - 1] a unit continues iff its number is less; free : the stage whose threshold moves
    gain, extra : int64 [N] scratch. Level index: first_level + the threshold.
    """
    last = correct.shape[0] - 1
    varies = cumulative.shape[1] > 1
    total, spent = np.int64(0), np.int64(0)
    for place in range(order.size):
        i = order[place]
        stage = 0
        while stage < free and numbers[stage, i] < thresholds[stage]:
            stage += 1
        gain[place] = 0
        extra[place] = 0
        total += np.int64(correct[stage, i])
        column = i if varies else 0
        spent += cumulative[stage, column]
        if stage < free:
            continue
        stage += 1
        while stage < last and numbers[stage, i] < thresholds[stage]:
            stage += 1
        gain[place] = np.int64(correct[stage, i]) - np.int64(correct[free, i])
        extra[place] = cumulative[stage, column] - cumulative[free, column]
    if spent <= env_cost[total]:
        offer(env_cost, env_rank, env_level, total, spent, rank, first_level)
    gained = False
    for place in range(order.size):
        total += gain[place]
        spent += extra[place]
        gained = gained or gain[place] > 0
        number = numbers[free, order[place]]
        if place + 1 < order.size and numbers[free, order[place + 1]] == number:
            continue
        if gained:
            if spent <= env_cost[total]:
                offer(env_cost, env_rank, env_level, total, spent, rank, first_level + number + 1)
            gained = False
