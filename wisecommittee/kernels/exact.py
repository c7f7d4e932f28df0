"""The optimum over ALL real thresholds of one cascade of up to four stages, offered to the same envelope as the grid.

Call a unit a gain at stage k if it is wrong there and right at some later stage. Lowering a threshold to just above the
largest gain confidence below it lets only other units exit: cost does not rise, correct does not fall. So some optimum
has thresholds only just above gain confidences (also under limits on the units that run each stage: lowering a
threshold lowers every such number); these are the levels here, a few hundred or thousand instead of N.
At level j a unit continues iff its bin <= j, where bin = number of gain confidences below its own; bin = levels: never.

What is skipped is bounded exactly. need(cost) is the least number correct that the envelope does not beat at strictly
less cost; the slack of a cell is what it lacks. Going up one level at a stage adds cost and at most one correct for
each gain unit that continues, so with slack s nothing can be found before s more gain units. What remains is the proof.
What a limit forbids stays forbidden at higher levels, so it takes no part in the slack.
Shorter cascades are padded in front with a stage of one level that everybody continues at no cost.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.grid import fitting, offer, room
from wisecommittee.kernels.jit import njit_exact

BLOCK = 64  # levels of the last threshold that share one bound
TILE = 16  # rows whose histograms are kept as a sum too, to walk over many at once
_FAR = np.int64(2**60)


@njit_exact
def gain_levels(order, gain, level_of):
    """Levels of a stage.

    order : int32 [N] distinct-confidence number of each unit, 0 the least; gain : int64 [N] what a unit can gain later;
    level_of : int64 [distinct + 1] scratch. Returns bins int32 [N], the distinct numbers of the levels, and the gain at
    or below each level.
    """
    level_of[:] = 0
    for i in range(order.size):
        if gain[i] > 0:
            level_of[order[i]] += gain[i]
    levels = 0
    for d in range(level_of.size):
        levels += level_of[d] > 0
    numbers = np.empty(levels, np.int64)
    reached = np.empty(levels, np.int64)
    total, place = np.int64(0), 0
    for d in range(level_of.size):
        own = level_of[d]
        level_of[d] = place  # gain confidences below this one
        if own > 0:
            total += own
            numbers[place] = d
            reached[place] = total
            place += 1
    bins = np.empty(order.size, np.int32)
    for i in range(order.size):
        bins[i] = level_of[order[i]]
    return bins, numbers, reached


@njit_exact
def need_table(env_cost, low, shift, table):
    """table[b] = least correct that the envelope does not beat at strictly less than low + (b << shift)."""
    a = np.int64(0)
    for b in range(table.size):
        edge = low + (np.int64(b) << shift)
        while a < env_cost.size and env_cost[a] < edge:
            a += 1
        table[b] = a


# Unsigned offsets spare the test for negative indices that keeps a loop from vectorising.


@njit_exact
def _raise(rows, row, start, stop, amount):
    r = np.uint64(row)
    for j in range(np.uint64(start), np.uint64(stop)):
        rows[r, j] += amount


@njit_exact
def _add_rows(line, rows, row):
    r = np.uint64(row)
    for j in range(np.uint64(line.size)):
        line[j] += rows[r, j]


@njit_exact
def _block_top(line, start, stop):
    top = line[start]
    for j in range(np.uint64(start + 1), np.uint64(stop)):
        top = max(top, line[j])
    return np.int64(top)


@njit_exact
def sweep_exact(
    order1, starts1, reached1, bins2, bins3, levels2, levels3, step2, step3, step4, gain2, correct, spent, fee2, fee3,
    load4, price4, caps, others, ceilings, rank, counts, gains, tile_counts, tile_gains, table, low, shift, env_cost,
    env_rank, env_level,
):  # fmt: skip
    """Offer the best cells of one cascade to the envelope; returns how many lines were evaluated.

    order1, starts1 : units by bin at stage 1, as `grid.bucket` gives them
    reached1 : int64 [P1] gain at or below a level; bins2, bins3 : int32 [N]
    step2, step3, step4 : int64 [N] change of correct from a stage to the next
    gain2 : int64 [N] what a unit can gain after stage 2; correct, spent : totals if everybody exits at stage 1
    fee2, fee3 : int64 [N] what each unit pays to run stages 2 and 3; stage 4 costs it price4 times load4 [N]: 1 where
    costs are the same for every unit, else the costs themselves (counts then hold costs, so nothing may be limited)
    caps [4], others [Q, 4], ceilings [Q] : int64 as in `grid.room`
    counts, gains : integer [>= P2, >= P3] scratch, tile_counts, tile_gains : [>= P2 // TILE + 1, >= P3]
    table, low, shift : need_table of this envelope. The level index is (j1 * P2 + j2) * P3 + j3.
    """
    levels1 = starts1.size - 1
    width = levels3
    tiles = levels2 // TILE + 1
    counts[:levels2, :width] = 0
    gains[:levels2, :width] = 0
    tile_counts[:tiles, :width] = 0
    tile_gains[:tiles, :width] = 0
    row_correct = np.zeros(levels2, np.int64)
    row_units = np.zeros(levels2, np.int64)
    row_spent = np.zeros(levels2, np.int64)
    row_gain = np.zeros(levels2, np.int64)
    line_count = np.empty(width, counts.dtype)
    line_gain = np.empty(width, gains.dtype)
    evaluated = 0
    entered = np.int64(order1.size)
    skip_until = np.int64(0)  # gain at stage 1 before which nothing can be found
    last = np.int64(table.size - 1)
    for j1 in range(levels1):
        for place in range(starts1[j1], starts1[j1 + 1]):
            i = order1[place]
            correct += step2[i]
            spent += fee2[i]
            b2 = bins2[i]
            if b2 >= levels2:
                continue
            row_correct[b2] += step3[i]
            row_units[b2] += 1
            row_spent[b2] += fee3[i]
            row_gain[b2] += gain2[i]
            b3 = bins3[i]
            if b3 < levels3:
                _raise(counts, b2, b3, width, load4[i])
                _raise(tile_counts, b2 // TILE, b3, width, load4[i])
                if step4[i] != 0:
                    _raise(gains, b2, b3, width, step4[i])
                    _raise(tile_gains, b2 // TILE, b3, width, step4[i])
        passed1 = starts1[j1 + 1]
        if room(entered, passed1, 0, caps, others, ceilings) < 0:
            break
        if reached1[j1] < skip_until:
            continue
        line_count[:] = 0
        line_gain[:] = 0
        added = 0  # rows in the lines
        here_correct, here_spent, passed = correct, spent, np.int64(0)
        look_from = np.int64(0)  # gain at stage 2 before which nothing can be found
        slab_slack = _FAR
        passed2 = np.int64(0)
        for j2 in range(levels2):
            here_correct += row_correct[j2]
            here_spent += row_spent[j2]
            passed += row_gain[j2]
            passed2 += row_units[j2]
            if row_units[j2] == 0 or passed < look_from:
                continue
            most_units = room(entered, passed1, passed2, caps, others, ceilings)
            if most_units < 0:
                break
            while added <= j2:
                if added % TILE == 0 and added + TILE <= j2 + 1:
                    _add_rows(line_count, tile_counts, added // TILE)
                    _add_rows(line_gain, tile_gains, added // TILE)
                    added += TILE
                else:
                    _add_rows(line_count, counts, added)
                    _add_rows(line_gain, gains, added)
                    added += 1
            evaluated += 1
            slack = _FAR
            end = width if np.int64(line_count[width - 1]) <= most_units else fitting(line_count, most_units)
            for start in range(0, end, BLOCK):
                stop = min(start + BLOCK, end)
                cost = here_spent + price4 * np.int64(line_count[start])
                most = here_correct + _block_top(line_gain, start, stop)
                bucket = min(max(cost - low, 0) >> shift, last)
                lacks = table[bucket] - most
                if lacks <= 0:
                    lacks = np.int64(1)
                    for j3 in range(start, stop):
                        total = here_correct + np.int64(line_gain[j3])
                        cost = here_spent + price4 * np.int64(line_count[j3])
                        if env_cost[most] < cost:
                            break
                        if cost <= env_cost[total]:
                            level = (np.int64(j1) * levels2 + j2) * levels3 + j3
                            offer(env_cost, env_rank, env_level, total, cost, rank, level)
                slack = min(slack, lacks)
            # Half of the slack is spent on skipping rows, the other half on skipping slabs.
            look_from = passed + max(slack // 2, 1)
            slab_slack = min(slab_slack, max(slack - slack // 2, 1))
        skip_until = reached1[j1] + slab_slack
    return evaluated
