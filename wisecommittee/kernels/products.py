"""The walk over all prefixes for max_prob: predictions on the few classes that can win, softmax denominators as
products of exponentials. The promise of equal bits is that of prefixes.py.

1. A class that lies below a pivot in every model, by more than a float32 sum can round away, lies below it in every
   prefix. What is left (median 1 to 3 classes) and the label are the candidates of a unit.
2. Predictions come from the candidates, eight units with about as many of them side by side.
3. With E_i,k(c) = exp((l_i(c) - max l_i) / k), the sum over c of exp(mean of k members at c) is the sum of
   prod_i E_i,k(c) up to a factor, so a few rows of exponentials per model serve all prefixes of size k. The winner's
   own term stays out of the sum, where its last bits would drown the others.

Naive twin: tests/naive.py.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_sums
from wisecommittee.kernels.lanes import (
    LANES,
    PAIR,
    advance,
    advance_one,
    dot,
    dot4,
    dot4_product,
    dot_product,
    prefetch,
    rest,
    rest4,
    rest4_product,
    rest_product,
    row_at,
    shift,
)
from wisecommittee.kernels.prefixes import rest_of
from wisecommittee.kernels.rows import place_of_largest

UNIT_LANES = 128  # classes up to which lanes are units; a row of more fills them by itself
LINE = 64  # bytes of memory that come at once
SAMPLED = 4  # models whose sum chooses the pivot
_LOWEST = np.float32(-3.4028235e38)
_NEVER = np.float32(-np.inf)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_TINY = np.float32(1e-25)  # below, a product of exponentials has lost bits: go back to the sum


@njit_sums
def _add_to(total, row):
    for c in range(total.size):
        total[c] += row[c]


@njit_sums
def _gap_and_top(gap, row, at):
    """gap = max(gap, row - at); returns the largest value of the row."""
    top = _LOWEST
    for c in range(gap.size):
        gap[c] = larger(gap[c], row[c] - at)
        top = larger(top, row[c])
    return top


@njit_sums
def _gap_and_tops(gap, row0, row1, row2, row3, at):
    """The same for four rows at once."""
    at0, at1, at2, at3 = row0[at], row1[at], row2[at], row3[at]
    top0, top1, top2, top3 = _LOWEST, _LOWEST, _LOWEST, _LOWEST
    for c in range(gap.size):
        value0, value1, value2, value3 = row0[c], row1[c], row2[c], row3[c]
        most = larger(larger(value0 - at0, value1 - at1), larger(value2 - at2, value3 - at3))
        gap[c] = larger(gap[c], most)
        top0, top1 = larger(top0, value0), larger(top1, value1)
        top2, top3 = larger(top2, value2), larger(top3, value3)
    return top0, top1, top2, top3


@njit_exact
def _candidates(x, i, classes, deepest, label, tops, gap, chosen):
    """Number of classes that can win some prefix, and the label, ascending; fills tops with each model's largest
    value. x : int64 [M] addresses of the models' rows; i : the unit; deepest : members of the longest prefix.

    Rounded sums keep the order of their parts, so a class below the pivot in every model never passes it; that it does
    not draw level either is what the slack is for.
    """
    models, first = x.size, i * classes
    gap[:] = _ZERO
    some = min(SAMPLED, models)
    for s in range(some):
        _add_to(gap, row_at(x[s * models // some], first, classes))
    pivot = place_of_largest(gap)
    gap[:] = _LOWEST
    m = 0
    while m + 4 <= models:
        tops[m], tops[m + 1], tops[m + 2], tops[m + 3] = _gap_and_tops(
            gap, row_at(x[m], first, classes), row_at(x[m + 1], first, classes), row_at(x[m + 2], first, classes),
            row_at(x[m + 3], first, classes), pivot,
        )  # fmt: skip
        m += 4
    largest = _ZERO
    for m in range(models):
        row = row_at(x[m], first, classes)
        if m >= models // 4 * 4:
            tops[m] = _gap_and_top(gap, row, row[pivot])
        largest = max(largest, abs(row[pivot]))
    slack = -(np.float32(2.0**-22) * np.float32(deepest) * largest + np.float32(1e-30))
    found = 0
    for c in range(classes):
        chosen[found] = c
        found += np.int64(gap[c] >= slack) | np.int64(c == label)
    return found


@njit_exact
def _side_by_side(some, most, found, starts, columns, models, lanes):
    """Candidates' outputs of up to eight units (places in the block), never-winning ones where a unit has fewer."""
    n = most * LANES
    for m in range(models):
        for u in range(LANES):
            target, count = m * n + u, 0
            if u < some.size:
                count = found[some[u]]
                source = models * starts[some[u]] + m * count
                for d in range(count):
                    lanes[target + d * LANES] = columns[source + d]
            for d in range(count, most):
                lanes[target + d * LANES] = _NEVER


@njit_exact
def _exponentials(out, x, top, scale):
    for c in range(x.size):
        out[c] = exp_nonpositive((x[c] - top) * scale)


@njit_exact
def _multiply(out, a, b):
    for c in range(out.size):
        out[c] = a[c] * b[c]


@njit_exact
def _below_top(x, classes, m, tops, t, units, z, lane_tops):
    """z = the logits of model m below their largest, of units in rows t.. of tops, side by side."""
    start = 0
    if units == LANES:
        for u in range(LANES):
            lane_tops[u] = tops[t + u, m]
        start = classes // LANES * LANES
        shift(x, classes, start, lane_tops, z)
    for u in range(units):
        for c in range(start, classes):
            z[c * LANES + u] = x[u * classes + c] - tops[t + u, m]


@njit_exact
def _sums_of_units(step, n, rows, without, totals):
    """One step of the programme for eight units."""
    kind, a, a2 = step[0], step[1] * n, step[2] * n
    b0, b1, b2, b3 = step[3] * n, step[4] * n, step[5] * n, step[6] * n
    if kind == 1 and a2 < 0:
        rest(rows, a, b0, n, without, totals)
    elif kind == 1:
        rest_product(rows, a, a2, b0, n, without, totals)
    elif a2 < 0:
        rest4(rows, a, b0, b1, b2, b3, n, without, totals)
    else:
        rest4_product(rows, a, a2, b0, b1, b2, b3, n, without, totals)


@njit_exact
def _sums_of_one(step, first, kind, n, rows, without, totals):
    """One step of the programme for one unit: `kind` of its sums, from number `first` on, with the same winner."""
    a, a2, b = step[1] * n, step[2] * n, step[3 + first] * n
    if kind > 1:
        b1, b2, b3 = step[4] * n, step[5] * n, step[6] * n
        if a2 < 0:
            dot4(rows, a, b, b1, b2, b3, n, without, totals)
        else:
            dot4_product(rows, a, a2, b, b1, b2, b3, n, without, totals)
    elif a2 < 0:
        dot(rows, a, b, n, without, totals)
    else:
        dot_product(rows, a, a2, b, n, without, totals)


@njit_exact
def _ask_for(address, size):
    """Start loading so many bytes."""
    for at in range(0, size, LINE):
        prefetch(address + at)


@njit_exact
def _form(step, target, n, rows):
    a, b, out = step[1] * n, step[2] * n, target * n
    _multiply(rows[out : out + n], rows[a : a + n], rows[b : b + n])


@njit_exact
def _rest_of_sum(x, classes, i, path, winner):
    """The same from the sum itself, where members disagree too far for products. path : models, -1 after the last."""
    total = np.zeros(classes, np.float32)
    size = 0
    while size < path.size and path[size] >= 0:
        _add_to(total, row_at(x[path[size]], i * classes, classes))
        size += 1
    return rest_of(total, winner, _ONE / np.float32(size))


@njit_exact
def walk_units(
    x, labels, block, classes, members, sizes, deepest, judged, logits, powers, steps, targets, paths, height, correct,
    predicted, statistic,
):  # fmt: skip
    """Visit every prefix of some units, block by block, eight units side by side.

    x : int64 [M] addresses of each model's summands, float32 [B, C], finite; classes : C
    labels : int64 [B]; where one is below 0, nothing is right
    members, sizes : int64 [nodes] trie in depth-first order; deepest : the largest size
    judged : int64 [score rows] node of each row of `statistic`
    logits : bool, else the rows are probabilities and the largest is wanted
    powers, steps, targets, paths, height : search/powers.py
    correct : uint8 [nodes, B] out; predicted : int32 [nodes, B] out, or [0, 0] if not wanted
    statistic : float32 [score rows, B] out: `rest` of logits, `top` of probabilities
    """
    models, nodes, units = x.size, members.size, labels.size
    tops = np.empty((block, models), np.float32)
    gap = np.empty(classes, np.float32)
    found, starts, order = np.empty(block, np.int64), np.empty(block, np.int64), np.empty(block, np.int64)
    chosen = np.empty(block * classes, np.int32)
    columns = np.empty(block * models * classes, np.float32)
    counts = np.empty(classes + 2, np.int64)
    sums = np.zeros((deepest + 1) * classes * LANES, np.float32)
    lanes = np.empty(models * classes * LANES, np.float32)
    truth = np.empty(LANES, np.int32)
    hits, places = np.empty(nodes * LANES, np.uint8), np.empty(nodes * LANES, np.int32)
    won = np.empty(nodes * LANES, np.float32)
    winners = np.zeros((statistic.shape[0] if logits else 0, (block + LANES - 1) // LANES * LANES), np.int32)
    n = classes * LANES
    z, lane_tops = np.zeros(n, np.float32), np.empty(LANES, np.float32)
    rows = np.empty(height * n, np.float32)
    without, totals = np.empty(4 * LANES, np.int32), np.empty(2 * 4 * LANES, np.float32)
    correct[:] = 1  # until a unit has a choice
    for start in range(0, units, block):
        here = min(block, units - start)
        for row in range(winners.shape[0]):
            for i in range(here):
                winners[row, i] = labels[start + i]
        counts[:] = 0
        at = 0
        for i in range(here):
            mine = chosen[at:]
            found[i], starts[i] = _candidates(x, start + i, classes, deepest, labels[start + i], tops[i], gap, mine), at
            if found[i] == 1 and logits and mine[0] == labels[start + i]:
                found[i] = 0  # no choice
                if predicted.size > 0:
                    predicted[:, start + i] = mine[0]
                continue
            place = models * at
            for m in range(models):
                row = row_at(x[m], (start + i) * classes, classes)
                for d in range(found[i]):
                    columns[place] = row[mine[d]]
                    place += 1
            counts[found[i] + 1] += 1
            at += found[i]
        # Counting sort by the number of candidates, then eight at a time.
        for f in range(classes + 1):
            counts[f + 1] += counts[f]
        hard = counts[classes + 1]
        for i in range(here):
            if found[i] > 0:
                order[counts[found[i]]] = i
                counts[found[i]] += 1
        for first in range(0, hard, LANES):
            some = order[first : min(hard, first + LANES)]
            room = found[some[-1]] * LANES
            _side_by_side(some, found[some[-1]], found, starts, columns, models, lanes)
            truth[:] = -1
            for u in range(some.size):
                for d in range(found[some[u]]):
                    if chosen[starts[some[u]] + d] == labels[start + some[u]]:
                        truth[u] = d
            sums[:room] = _ZERO
            for node in range(nodes):
                advance(
                    sums, sizes[node] * room, (sizes[node] - 1) * room, lanes, members[node] * room, room, truth, hits,
                    places, won, node * LANES,
                )  # fmt: skip
            for u in range(some.size):
                i = some[u]
                own = chosen[starts[i] :]
                for node in range(nodes):
                    correct[node, start + i] = hits[node * LANES + u]
                if predicted.size > 0:
                    for node in range(nodes):
                        predicted[node, start + i] = own[places[node * LANES + u]]
                for row in range(judged.size):
                    node = judged[row]
                    if logits:
                        winners[row, i] = own[places[node * LANES + u]]
                    else:
                        statistic[row, start + i] = won[node * LANES + u] / np.float32(sizes[node])
        for first in range(0, here if winners.size > 0 else 0, LANES):
            side = min(LANES, here - first)
            for p in range(powers.shape[0]):
                m = powers[p, 0]
                if p == 0 or m != powers[p - 1, 0]:
                    own = row_at(x[m], (start + first) * classes, side * classes)
                    _below_top(own, classes, m, tops, first, side, z, lane_tops)
                _exponentials(rows[p * n : (p + 1) * n], z, _ZERO, _ONE / np.float32(powers[p, 1]))
            for t in range(steps.shape[0]):
                if start + block + first < units:  # what the next block needs comes while this one is worked on
                    for m in range(t * models // steps.shape[0], (t + 1) * models // steps.shape[0]):
                        _ask_for(x[m] + 4 * classes * (start + block + first), 4 * classes * LANES)
                kind = steps[t, 0]
                if kind == 0:
                    _form(steps[t], targets[t, 0], n, rows)
                    continue
                for j in range(4):
                    for u in range(LANES):
                        without[j * LANES + u] = winners[targets[t, j], first + u]
                _sums_of_units(steps[t], n, rows, without, totals)
                for j in range(kind):
                    row, tiny = targets[t, j], False
                    for u in range(side):
                        apart = totals[(4 + j) * LANES + u]
                        tiny |= apart < _TINY
                        statistic[row, start + first + u] = totals[j * LANES + u] / max(apart, _TINY)
                    if tiny:
                        for u in range(side):
                            if totals[(4 + j) * LANES + u] < _TINY:
                                i, winner = start + first + u, winners[row, first + u]
                                statistic[row, i] = _rest_of_sum(x, classes, i, paths[row], winner)


@njit_exact
def walk_classes(
    x, labels, classes, members, sizes, deepest, judged, logits, powers, steps, targets, paths, height, correct,
    predicted, statistic,
):  # fmt: skip
    """The same, unit by unit."""
    models, nodes, units = x.size, members.size, labels.size
    tops, gap = np.empty(models, np.float32), np.empty(classes, np.float32)
    chosen = np.empty(classes, np.int32)
    room = (classes + LANES - 1) // LANES * LANES
    columns = np.empty(models * room, np.float32)
    sums = np.zeros((deepest + 1) * room, np.float32)
    hits, places = np.empty(nodes, np.uint8), np.empty(nodes, np.int32)
    won = np.empty(nodes, np.float32)
    winners = np.zeros(statistic.shape[0], np.int64)
    n = (classes + PAIR - 1) // PAIR * PAIR
    rows = np.zeros(height * n, np.float32)
    totals = np.empty(2 * 4 * LANES, np.float32)
    correct[:] = 1  # until a unit has a choice
    for i in range(units):
        found = _candidates(x, i, classes, deepest, labels[i], tops, gap, chosen)
        if found == 1 and logits and chosen[0] == labels[i]:
            winners[:] = chosen[0]
            if predicted.size > 0:
                predicted[:, i] = chosen[0]
        else:
            length = (found + LANES - 1) // LANES * LANES
            truth = -1
            for m in range(models):
                row = row_at(x[m], i * classes, classes)
                for d in range(found):
                    columns[m * length + d] = row[chosen[d]]
                columns[m * length + found : (m + 1) * length] = _NEVER
            for d in range(found):
                if chosen[d] == labels[i]:
                    truth = d
            sums[:length] = _ZERO
            for node in range(nodes):
                advance_one(
                    sums, sizes[node] * length, (sizes[node] - 1) * length, columns, members[node] * length, length,
                    np.int64(truth), hits, places, won, node,
                )  # fmt: skip
            for node in range(nodes):
                correct[node, i] = hits[node]
            if predicted.size > 0:
                for node in range(nodes):
                    predicted[node, i] = chosen[places[node]]
            for row in range(judged.size):
                node = judged[row]
                if logits:
                    winners[row] = chosen[places[node]]
                else:
                    statistic[row, i] = won[node] / np.float32(sizes[node])
        if not logits or winners.size == 0:
            continue
        for p in range(powers.shape[0]):
            m = powers[p, 0]
            own = row_at(x[m], i * classes, classes)
            _exponentials(rows[p * n : p * n + classes], own, tops[m], _ONE / np.float32(powers[p, 1]))
        for t in range(steps.shape[0]):
            if i + 1 < units:  # what the next unit needs comes while this one is worked on
                for m in range(t * models // steps.shape[0], (t + 1) * models // steps.shape[0]):
                    _ask_for(x[m] + 4 * classes * (i + 1), 4 * classes)
            kind = steps[t, 0]
            if kind == 0:
                _form(steps[t], targets[t, 0], n, rows)
                continue
            winner = winners[targets[t, 0]]
            alike = True
            for j in range(1, kind):
                alike &= winners[targets[t, j]] == winner
            if alike:
                _sums_of_one(steps[t], 0, kind, n, rows, winner, totals)
            for j in range(kind):
                row, here = targets[t, j], j * LANES
                if not alike:
                    _sums_of_one(steps[t], j, 1, n, rows, winners[row], totals)
                    here = 0
                apart = _sum(totals[here + 4 * LANES : here + 5 * LANES])
                if apart < _TINY:
                    statistic[row, i] = _rest_of_sum(x, classes, i, paths[row], winners[row])
                else:
                    statistic[row, i] = _sum(totals[here : here + LANES]) / apart


@njit_sums
def _sum(lanes):
    total = _ZERO
    for lane in range(LANES):
        total += lanes[lane]
    return total
