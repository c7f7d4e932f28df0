"""Two sweeps for pools too large for the grid over everything: one head with many last members, and one threshold.

grow        the last three thresholds of head + (last,) on a coarse grid, jointly, for each of many last members
sweep_line  one threshold of one cascade over every value it can take, the others fixed

Both offer what they count to an envelope. Naive twin: tests/support/naive.py `evaluate` at every cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.envelope import offer
from wisecommittee.kernels.jit import float_bits, njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import zeros
from wisecommittee.kernels.sums import cumulate, raise_from

BUCKET_BITS = 14  # of a float32's mantissa dropped: 512 buckets of cost per octave


class Waiting(NamedTuple):
    """The n units that run the first of the three swept stages.

    cells : int32 [n] (bin_1 * P2 + bin_2) * P3 + bin_3; correct : int32 [n] quality with the head
    extended : integer [m, n] quality with each last member; fees : int64 [m, n] cost of each last member, or [m, 1]
    where it is the same for every unit
    """

    cells: NDArray[np.int32]
    correct: NDArray[np.int32]
    extended: NDArray[np.integer]
    fees: NDArray[np.int64]


class HeadTotals(NamedTuple):
    """int64 [P1, P2] total correct and total cost of the cascade that stops at the head."""

    correct: NDArray[np.int64]
    cost: NDArray[np.int64]


class Sums(NamedTuple):
    """Scratch by cell: units, gains int32 [P1 * P2 * P3]; costs int64 [P1 * P2 * P3], or [0] if no cost varies."""

    units: NDArray[np.int32]
    gains: NDArray[np.int32]
    costs: NDArray[np.int64]


class Lead(NamedTuple):
    """How far extensions get beyond what shorter committees reach at the same cost, in each of B bands of cost.

    expected : int64 [buckets] correct that shorter committees reach; first : number of the first bucket
    bands : int64 [buckets] band of each bucket
    ahead : int64 [m, B] largest advance in units of quality, in and out; level : int64 [m, B] level index where it is
    reached, -1 where the extension stays behind
    """

    expected: NDArray[np.int64]
    first: int
    bands: NDArray[np.int64]
    ahead: NDArray[np.int64]
    level: NDArray[np.int64]


class Cascade(NamedTuple):
    """One cascade of K stages.

    numbers : integer [K - 1, N] number of each unit's confidence among the distinct ones of its stage
    correct : integer [K, N]; cumulative : int64 [K, N] cost of a unit that exits at each stage, or [K, 1]
    thresholds : int64 [K - 1]; a unit continues iff its number is less
    """

    numbers: NDArray[np.integer]
    correct: NDArray[np.integer]
    cumulative: NDArray[np.int64]
    thresholds: NDArray[np.int64]


@njit_exact
def pair_table(bins1, bins2, weights1, weights2, start, table):
    """table[j1, j2] = start + sum of weights1 where bin1 <= j1 + sum of weights2 where also bin2 <= j2.

    bins1, bins2 : integer [n]; weights1, weights2 : int64 [n]; table : int64 [P1, P2] out.
    """
    levels1, levels2 = table.shape
    first, cells = zeros(levels1, np.int64), zeros((levels1, levels2), np.int64)
    for i in range(bins1.size):
        first[bins1[i]] += weights1[i]
        cells[bins1[i], bins2[i]] += weights2[i]
    cumulate(cells, table)
    total = np.int64(start)
    for j1 in range(levels1):
        total += first[j1]
        for j2 in range(levels2):
            table[j1, j2] += total


@njit_exact
def cost_bucket(cost, first, buckets):
    """Index of a cost on a logarithmic scale, clipped to [0, buckets); first : bucket number of index 0."""
    bucket = (np.int64(float_bits(np.float32(cost))) >> BUCKET_BITS) - first
    return min(max(bucket, np.int64(0)), buckets - 1)


@njit_inner
def _accumulate(table, start, left, above, corner, width):
    """The row of a flat table that begins at `start` becomes its sum over all rows to the left and above; returns its
    largest entry.

    left, above, corner : starts of the finished neighbours, -1 where there is none.
    """
    h, w = np.uint64(start), np.uint64(width)
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
def grow(waiting, totals, ranks, first_level, shape, scratch, lead, envelope):
    """Every cell of the last three thresholds of head + (last,), for each last member.

    waiting : Waiting; totals : HeadTotals; ranks : int64 [m]; shape = (P1, P2, P3); scratch : Sums; lead : Lead
    first_level : level index of the first cell; the last stage counts fastest
    """
    cells, correct, extended, fees = waiting
    base, spent = totals
    counts, gains, costs = scratch
    expected, first_bucket, bands, ahead_by, ahead_at = lead
    p1, p2, p3 = shape
    counts[:] = 0
    for i in range(cells.size):
        row = cells[i] // p3 * p3
        raise_from(counts, cells[i], row + p3, np.int32(1))
    for j1 in range(p1):
        for j2 in range(p2):
            start = (j1 * p2 + j2) * p3
            left = start - p3 if j2 > 0 else -1
            above = start - p2 * p3 if j1 > 0 else -1
            corner = start - p2 * p3 - p3 if j1 > 0 and j2 > 0 else -1
            _accumulate(counts, start, left, above, corner, p3)
    buckets = np.int64(expected.size)
    varies = fees.shape[1] != 1
    for m in range(ranks.size):
        gains[:] = 0
        costs[:] = 0
        for i in range(cells.size):
            gain = np.int32(extended[m, i]) - correct[i]
            if gain != 0:
                raise_from(gains, cells[i], cells[i] // p3 * p3 + p3, gain)
            if varies:
                raise_from(costs, cells[i], cells[i] // p3 * p3 + p3, fees[m, i])
        fee = fees[m, 0]
        least = ahead_by[m].min()
        for j1 in range(p1):
            for j2 in range(p2):
                start = (j1 * p2 + j2) * p3
                left = start - p3 if j2 > 0 else -1
                above = start - p2 * p3 if j1 > 0 else -1
                corner = start - p2 * p3 - p3 if j1 > 0 and j2 > 0 else -1
                most = base[j1, j2] + _accumulate(gains, start, left, above, corner, p3)
                if varies:
                    _accumulate(costs, start, left, above, corner, p3)
                reach = counts[start + p3 - 1]
                if reach == 0 or (left >= 0 and counts[left + p3 - 1] == reach):
                    continue  # no further unit continues: the cells to the left hold the same
                low = spent[j1, j2]
                if envelope.cost[most] < low and most - expected[cost_bucket(low, first_bucket, buckets)] <= least:
                    continue
                level = first_level + start
                before = np.int32(0)
                for j3 in range(p3):
                    reach = counts[start + j3]
                    if reach == before:
                        continue
                    before = reach
                    cost = low + (costs[start + j3] if varies else fee * np.int64(reach))
                    total = base[j1, j2] + np.int64(gains[start + j3])
                    if cost <= envelope.cost[total]:
                        offer(envelope, total, cost, ranks[m], level + j3)
                    bucket = cost_bucket(cost, first_bucket, buckets)
                    ahead = total - expected[bucket]
                    band = bands[bucket]
                    if ahead > ahead_by[m, band]:
                        ahead_by[m, band] = ahead
                        ahead_at[m, band] = level + j3
                        least = ahead_by[m].min()


@njit_exact
def sweep_line(order, cascade, free, rank, first_level, scratch, envelope):
    """Every value of one threshold: the units that reach it, by rising confidence, continue one tie after the other.

    order : integer [N] units by rising numbers[free]; cascade : Cascade; free : the stage whose threshold moves
    scratch : int64 [2, N]. Level index: first_level + the threshold.
    """
    numbers, correct, cumulative, thresholds = cascade
    gain, extra = scratch[0], scratch[1]
    last = correct.shape[0] - 1
    varies = cumulative.shape[1] > 1
    total, spent = np.int64(0), np.int64(0)
    for n in range(order.size):
        i = order[n]
        stage = 0
        while stage < free and numbers[stage, i] < thresholds[stage]:
            stage += 1
        gain[n] = 0
        extra[n] = 0
        total += np.int64(correct[stage, i])
        column = i if varies else 0
        spent += cumulative[stage, column]
        if stage < free:
            continue
        stage += 1
        while stage < last and numbers[stage, i] < thresholds[stage]:
            stage += 1
        gain[n] = np.int64(correct[stage, i]) - np.int64(correct[free, i])
        extra[n] = cumulative[stage, column] - cumulative[free, column]
    if spent <= envelope.cost[total]:
        offer(envelope, total, spent, rank, first_level)
    gained = False
    for n in range(order.size):
        total += gain[n]
        spent += extra[n]
        gained = gained or gain[n] > 0
        number = numbers[free, order[n]]
        if n + 1 < order.size and numbers[free, order[n + 1]] == number:
            continue
        if gained:
            if spent <= envelope.cost[total]:
                offer(envelope, total, spent, rank, first_level + number + 1)
            gained = False
