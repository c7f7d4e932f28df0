"""Every threshold vector of a group of cascades, in exact integers, folded into one envelope.

A group is (s1, s2, s3 | m): three thresholded stages shared by several last members m. Shorter cascades pad with
virtual stages at the front that everybody continues (one level, one bin, no cost). For levels (j1, j2, j3) a unit
continues at stage k iff bin_k <= j_k, so the number correct is

    base[j1, j2] + gain_m[j1, j2, j3],   gain_m = sum over units that continue at all three of (correct_4 - correct_3)

where base counts the cascade that stops at stage 3. Units enter as j1 grows, into histograms over (bin_2, level j3)
whose rows are already cumulative in j3; adding rows over j2 gives a whole line of j3 in one pass.

The envelope is env[a] = least total cost with at least a correct, with its witness (rank of the combination, level
index). Cells are skipped only where the envelope already holds at least as many correct at strictly less cost, so the
result does not depend on the order of groups. Naive twin: tests/naive.py `search`.

Limits beside the worst case are limits on the units that run each stage (search/limits.py); those numbers rise with
every level, so a sweep leaves a line, a slab or the group at the first violation.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact

UNREACHED = np.int64(2**63 - 1)


@njit_exact
def pair_table(bins1, bins2, weights1, weights2, start, table):
    """table[j1, j2] = start + sum of weights1 where bin1 <= j1 + sum of weights2 where also bin2 <= j2.

    bins1, bins2 : unsigned [N]; weights1, weights2 : int64 [N]; table : int64 [P1, P2] out.
    """
    levels1, levels2 = table.shape
    first = np.zeros(levels1, np.int64)
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
def bucket(bins, levels):
    """Counting sort: units ordered by bin (int32 [N]) and the start of each bin (int64 [levels + 1])."""
    starts = np.zeros(levels + 1, np.int64)
    for i in range(bins.size):
        starts[bins[i] + 1] += 1
    for j in range(levels):
        starts[j + 1] += starts[j]
    fill = starts[:-1].copy()
    order = np.empty(bins.size, np.int32)
    for i in range(bins.size):
        order[fill[bins[i]]] = i
        fill[bins[i]] += 1
    return order, starts


@njit_exact
def _add_line(line, row):
    for j in range(line.size):
        line[j] += row[j]


@njit_exact
def _add_line_and_top(line, row):
    """line += row; returns the largest entry of line."""
    line[0] += row[0]
    top = line[0]
    for j in range(1, line.size):
        line[j] += row[j]
        top = max(top, line[j])
    return np.int64(top)


@njit_exact
def _raise_from(row, start, amount):
    for j in range(start, row.size):
        row[j] += amount


@njit_exact
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


@njit_exact
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


@njit_exact
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
def sweep(
    order1, starts1, bins2, bins3, correct3, correct4, base, spent, offsets, last_cost, unit_cost, ranks,
    outer_level, radix, caps, others, ceilings, counts, gains, costs, env_cost, env_rank, env_level,
):  # fmt: skip
    """All levels of one group, offered to the envelope.

    order1 : int32 [n], starts1 : int64 [P1 + 1] units by their bin at stage 1; bins2, bins3 : unsigned [n]
    correct3 : [n], correct4 : [n, m] integer quality at stage 3 and with each last member
    base, spent : int64 [P1, P2] total correct and total cost of the cascade that stops at stage 3
    offsets : int64 [m] what is added to the cost of each last member's cascades
    last_cost : int64 [m] marginal cost of the last member, or unit_cost : int64 [n, m] where it varies per unit
    ranks : int64 [m]; outer_level : level index of stages before these three; radix : int64 [2] steps of j1 and j2 in
    it
    caps : int64 [m, 4], others : int64 [m, Q, 4], ceilings : int64 [Q] as in `room`; caps [0, 4] where nothing is
    limited
    counts : int [P2, P3], gains : int [m, P2, P3], costs : int64 [m, P2, P3] or [0, 0, 0] scratch; the integer type
    holds the sum of |gain| over n units
    """
    members = ranks.size
    levels1, (levels2, levels3) = starts1.size - 1, counts.shape
    per_unit = unit_cost.size > 0
    limited = caps.shape[0] > 0
    entered = np.int64(order1.size)
    rooms = np.full(members, entered)
    counts[:] = 0
    gains[:] = 0
    costs[:] = 0
    line_count = np.empty(levels3, counts.dtype)
    line_gain = np.empty((members, levels3), gains.dtype)
    line_cost = np.empty((members, levels3), np.int64)
    for j1 in range(levels1):
        if starts1[j1] == starts1[j1 + 1]:
            continue  # the same units continue as at the level before: nothing new
        for place in range(starts1[j1], starts1[j1 + 1]):
            i = order1[place]
            b2, b3 = bins2[i], bins3[i]
            _raise_from(counts[b2], b3, 1)
            here = np.int64(correct3[i])
            for m in range(members):
                gain = np.int64(correct4[i, m]) - here
                if gain != 0:
                    _raise_from(gains[m, b2], b3, gain)
                if per_unit:
                    _raise_from(costs[m, b2], b3, unit_cost[i, m])
        line_count[:] = 0
        line_gain[:] = 0
        line_cost[:] = 0
        if limited:
            most_room = np.int64(-1)
            for m in range(members):
                most_room = max(most_room, room(entered, starts1[j1 + 1], 0, caps[m], others[m], ceilings))
            if most_room < 0:
                break
        passed2 = np.int64(0)
        for j2 in range(levels2):
            if counts[j2, levels3 - 1] == 0:
                continue
            passed2 += counts[j2, levels3 - 1]
            if limited:
                most_room = np.int64(-1)
                for m in range(members):
                    rooms[m] = room(entered, starts1[j1 + 1], passed2, caps[m], others[m], ceilings)
                    most_room = max(most_room, rooms[m])
                if most_room < 0:
                    break
            _add_line(line_count, counts[j2])
            level12 = outer_level + j1 * radix[0] + j2 * radix[1]
            for m in range(members):
                most = base[j1, j2] + _add_line_and_top(line_gain[m], gains[m, j2])
                if per_unit:
                    _add_line(line_cost[m], costs[m, j2])
                low = offsets[m] + spent[j1, j2]
                if env_cost[most] < low:
                    continue
                stop = fitting(line_count, rooms[m]) if limited else levels3
                for j3 in range(stop):
                    extra = line_cost[m, j3] if per_unit else last_cost[m] * np.int64(line_count[j3])
                    cost = low + extra
                    if env_cost[most] < cost:
                        break  # cost grows with j3, and no cell of this line has more correct
                    correct = base[j1, j2] + np.int64(line_gain[m, j3])
                    if cost <= env_cost[correct]:
                        offer(env_cost, env_rank, env_level, correct, cost, ranks[m], level12 + j3)


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
