"""The walk over all prefixes for max_prob: predictions on the few classes that can win, softmax denominators as
products of exponentials. As in direct.py, the bits of a prefix depend on the outputs of its members alone.

1. Predictions come from the candidate classes of candidates.py (median 1 to 3 classes), for eight units with about as
   many candidates side by side. Every prefix answers a unit with one candidate alike.
2. With E_i,k(c) = exp((l_i(c) - max l_i) / k), the sum over c of exp(mean of k members at c) is the sum of
   prod_i E_i,k(c) up to a factor, so a few rows of exponentials per model serve all prefixes of size k. The winner's
   term stays out of the sum, where its last bits would drown the others.
3. Of probabilities, the sum of all but the winner's is 1 minus the winner's; where the winner's comes close to 1 it is
   summed model by model.

Naive twin: tests/support/naive.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_inner, njit_sums
from wisecommittee.kernels.simd.arrays import empty, zeros
from wisecommittee.kernels.simd.ir import LANES
from wisecommittee.kernels.simd.loops import (
    PAIR,
    advance,
    advance_one,
    dots,
    eight_bits,
    prefetch,
    rests,
    row_at,
    shift,
)
from wisecommittee.kernels.stages.candidates import Buffers, candidates
from wisecommittee.kernels.stages.direct import LEAST, rest_of
from wisecommittee.kernels.stages.rows import ZERO, add_to

UNIT_LANES = 128  # classes up to which lanes are units; with more classes, the lanes share one unit
LINE = 64  # bytes of a cache line
WIDTH = 64  # units of `walk_classes` whose correctness is held as bytes before it is packed into bits
_NEVER = np.float32(-np.inf)
_ONE, _SIXTH = np.float32(1.0), np.float32(1.0 / 6.0)
_TINY = np.float32(1e-25)  # a smaller product of exponentials has lost bits: the sum of logits is used instead
_SURE = np.float32(0.968)  # of a larger p, 1 - p has too few digits: the other probabilities are summed


class Block(NamedTuple):
    """B units in a row.

    rows : int64 [M] addresses of each model's summands, float32 [B, C], finite
    labels : int64 [B]; where one is below 0, nothing is right
    offset : of the first unit in the results, a multiple of eight; classes : C
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    offset: int
    classes: int


class WalkOrder(NamedTuple):
    """Prefixes in depth-first order.

    members, sizes : int64 [nodes] newest member and number of members; deepest : the largest size
    follows : float32 [M], 1 where a model only ever runs right after the one before it; [0] if none does
    scored : int64 [score rows] node of each row of the statistic
    paths : int64 [score rows, deepest] models of each of these, -1 after the last
    """

    members: NDArray[np.int64]
    sizes: NDArray[np.int64]
    deepest: int
    follows: NDArray[np.float32]
    scored: NDArray[np.int64]
    paths: NDArray[np.int64]


class ProductPlan(NamedTuple):
    """Which rows of exponentials the scored prefixes need, and in what order their products are formed, in one table of
    rows (searches/stages/product_plan.py).

    powers : int64 [p, 3] (model, k, row): write E_k = exp((logit - max) / k) to `row`. k = 1 writes two rows from one
    exponential E_6: E_2 = E_6 ** 3 to `row` and E_3 = E_6 ** 2 to `row + 1`; E_1 is E_2 ** 2
    steps : int64 [t, 8] 0, left, right: a product row to form; or n, a common factor, one or two left rows (or -1), up
    to four right rows (padded): the n sums of products of each left with each right row
    targets : int64 [t, 8] the row to form, or the score row of each sum, by left (padded)
    rows : of the table; the first is of ones
    """

    powers: NDArray[np.int64]
    steps: NDArray[np.int64]
    targets: NDArray[np.int64]
    rows: int


class Results(NamedTuple):
    """What a walk writes, of N units of which the block is a part.

    cells : uint8 [nodes, >= N / 8], bits of the units that are right; predicted : int32 [nodes, N], or [0, N]
    statistic : float32 [1, score rows, B] `rest` of logits; [2, ..] `top` and `rest` of probabilities
    """

    cells: NDArray[np.integer]
    predicted: NDArray[np.int32]
    statistic: NDArray[np.float32]


class Products(NamedTuple):
    """rows : float32, the table of rows one after the other. For each sum: winners, the entry that it leaves out; sums,
    its value; apart, the product at the entry left out."""

    rows: NDArray[np.float32]
    winners: NDArray[np.int32]
    sums: NDArray[np.float32]
    apart: NDArray[np.float32]


class Largest(NamedTuple):
    """For each model's row: its largest value (at t, t + stride, .. of `tops`), how many entries have that value, and
    the sum of all smaller entries."""

    tops: NDArray[np.float32]
    draws: NDArray[np.int64]
    smaller: NDArray[np.float32]


@njit_inner
def _pick(buffers, models, length, begin, left, out, to, room, step):
    """out[to + m * room + d * step] = output of model m for candidate d; from the last candidate to `room`, a value
    that never wins."""
    columns, which = buffers.columns, buffers.which
    for m in range(models):
        source, target = np.uint64(models * begin + m * length), np.uint64(to + m * room)
        for d in range(np.uint64(left)):
            out[target] = columns[source + np.uint64(which[np.uint64(begin) + d])]
            target += np.uint64(step)
        for _ in range(left, room // step):
            out[target] = _NEVER
            target += np.uint64(step)


@njit_inner
def _raise(powers, p, n, rows, size, x, top):
    """Line p of ProductPlan.powers: the first `size` entries of one or two rows of n. k = 1 writes two rows from one
    exponential, E_6."""
    out = np.uint64(powers[p, 2] * n)
    if powers[p, 1] == 1:
        other = out + np.uint64(n)
        for c in range(np.uint64(size)):
            e = exp_nonpositive((x[c] - top) * _SIXTH)
            square = e * e
            rows[out + c] = square * e
            rows[other + c] = square
    else:
        scale = _ONE / np.float32(powers[p, 1])
        for c in range(np.uint64(size)):
            rows[out + c] = exp_nonpositive((x[c] - top) * scale)


@njit_inner
def _form(steps, target, t, n, rows):
    a, b, out = steps[t, 1] * n, steps[t, 2] * n, target * n
    for c in range(np.uint64(n)):
        rows[np.uint64(out) + c] = rows[np.uint64(a) + c] * rows[np.uint64(b) + c]


@njit_inner
def _below_top(x, first, classes, units, tops, t, z):
    """z = up to eight units' logits of a model below their largest, side by side. x : address of the model's rows."""
    if units == LANES and classes >= LANES:
        shift(x, first, classes, tops, t, z)
        return
    for u in range(units):
        row = row_at(x, first + u * classes, classes)
        for c in range(classes):
            z[c * LANES + u] = row[c] - tops[t + u]


@njit_inner
def _sums_of_units(plan, t, first, width, n, products):
    """One step of the plan for eight units; the values of score row r start at r * width + first."""
    steps, targets = plan.steps, plan.targets
    rows, winners, sums, apart = products
    common, left0, left1, right0 = steps[t, 1] * n, steps[t, 2] * n, steps[t, 3] * n, steps[t, 4] * n
    t0 = targets[t, 0] * width + first
    if steps[t, 0] == 1:
        rests(rows, common, (left0,), (right0,), n, winners, sums, apart, (t0,))
        return
    right = (right0, steps[t, 5] * n, steps[t, 6] * n, steps[t, 7] * n)
    t1, t2, t3 = targets[t, 1] * width + first, targets[t, 2] * width + first, targets[t, 3] * width + first
    if left1 < 0:
        rests(rows, common, (left0,), right, n, winners, sums, apart, (t0, t1, t2, t3))
        return
    t4, t5 = targets[t, 4] * width + first, targets[t, 5] * width + first
    every = (t0, t1, t2, t3, t4, t5, targets[t, 6] * width + first, targets[t, 7] * width + first)
    rests(rows, common, (left0, left1), right, n, winners, sums, apart, every)


@njit_inner
def _spans(winners, marked, spans):
    """Writes the starts of the pairs of vectors in which winners lie to `spans`, ascending; returns how many. marked :
    uint8 [>= C / 16], all 0 before and after."""
    for row in range(winners.size):
        marked[winners[row] // PAIR] = 1
    count = 0
    for pair in range(marked.size):
        if marked[pair] > 0:
            spans[count] = pair * PAIR
            count += 1
            marked[pair] = 0
    return count


@njit_inner
def _sums_of_unit(plan, t, n, products, spans, many):
    """One step of the plan for one unit; winners lie in spans[:many]."""
    steps, targets = plan.steps, plan.targets
    rows, winners, sums, apart = products
    common, left0, left1, right0 = steps[t, 1] * n, steps[t, 2] * n, steps[t, 3] * n, steps[t, 4] * n
    t0 = targets[t, 0]
    if steps[t, 0] == 1:
        dots(rows, common, (left0,), (right0,), n, spans, many, winners, sums, apart, (t0,))
        return
    right = (right0, steps[t, 5] * n, steps[t, 6] * n, steps[t, 7] * n)
    t1, t2, t3 = targets[t, 1], targets[t, 2], targets[t, 3]
    if left1 < 0:
        dots(rows, common, (left0,), right, n, spans, many, winners, sums, apart, (t0, t1, t2, t3))
        return
    every = (t0, t1, t2, t3, targets[t, 4], targets[t, 5], targets[t, 6], targets[t, 7])
    dots(rows, common, (left0, left1), right, n, spans, many, winners, sums, apart, every)


@njit_inner
def _ask_for(x, offset, size, part, parts):
    """Start loading `size` bytes behind each address, of one part of so many of the models."""
    for m in range(part * x.size // parts, (part + 1) * x.size // parts):
        for at in range(0, size, LINE):
            prefetch(x[m] + offset + at)


@njit_inner
def _rest_of_sum(x, classes, i, path, winner):
    """`rest` from the sum of the members' outputs, where they disagree too far for products. path : the models, -1
    after the last."""
    total = zeros(classes, np.float32)
    size = 0
    while size < path.size and path[size] >= 0:
        add_to(total, row_at(x[path[size]], i * classes, classes))
        size += 1
    return rest_of(total, winner, _ONE / np.float32(size))


@njit_inner
def _fill(out, many, width, i, value):
    """out[k * width + i] = value, of many k."""
    at = np.uint64(i)
    for _ in range(many):
        out[at] = value
        at += np.uint64(width)


@njit_inner
def _sort_out(values, many, units, out, width):
    """out[k * width + units[u]] = values[8 k + u] for all eight u, of many k."""
    u0, u1, u2, u3, u4, u5, u6, u7 = units[0], units[1], units[2], units[3], units[4], units[5], units[6], units[7]
    for k in range(np.uint64(many)):
        source, target = k * np.uint64(LANES), k * np.uint64(width)
        out[target + u0] = values[source]
        out[target + u1] = values[source + np.uint64(1)]
        out[target + u2] = values[source + np.uint64(2)]
        out[target + u3] = values[source + np.uint64(3)]
        out[target + u4] = values[source + np.uint64(4)]
        out[target + u5] = values[source + np.uint64(5)]
        out[target + u6] = values[source + np.uint64(6)]
        out[target + u7] = values[source + np.uint64(7)]


@njit_inner
def _name(argmax, scored, names, out):
    """out[8 row + u] = names[8 argmax[8 node + u] + u] of the node of each row."""
    for row in range(np.uint64(scored.size)):
        source, target = np.uint64(scored[row]) * np.uint64(LANES), row * np.uint64(LANES)
        for u in range(np.uint64(LANES)):
            out[target + u] = names[np.uint64(argmax[source + u]) * np.uint64(LANES) + u]


@njit_inner
def _pack(right, width, units, cells, start):
    """right [nodes * width], of 0 and 1, becomes bits of `cells`, from unit `start` on, a multiple of eight."""
    whole = units // LANES
    for node in range(cells.shape[0]):
        for byte in range(whole):
            cells[node, start // LANES + byte] = eight_bits(right, node * width + byte * LANES)
        if units % LANES > 0:
            last = eight_bits(right, node * width + whole * LANES)
            cells[node, start // LANES + whole] = last & np.uint8((1 << units % LANES) - 1)


@njit_inner
def _any_tiny(sums, apart):
    tiny = 0
    for i in range(apart.size):
        tiny += np.int64(apart[i] < _TINY) | np.int64(sums[i] < LEAST)
    return tiny > 0


@njit_inner
def _shares(out, sums, apart):
    for i in range(out.size):
        out[i] = sums[i] / larger(apart[i], _TINY)


@njit_sums
def _below(row, top):
    """The sum of the values below the largest, `top`."""
    total = ZERO
    for c in range(row.size):
        total += row[c] if row[c] < top else ZERO
    return total


@njit_inner
def _draws(row, top):
    count = 0
    for c in range(row.size):
        count += row[c] == top
    return count


@njit_inner
def _others_of(x, first, classes, path, winner, largest, t, stride):
    """Mean over a path's models of the sum of all probabilities but the winner's."""
    tops, draws, smaller = largest
    total, size = 0.0, 0
    while size < path.size and path[size] >= 0:
        m = path[size]
        value, top = row_at(x[m], first, classes)[winner], tops[t + m * stride]
        more = draws[m] - 1 if value == top else draws[m]
        total += np.float64(smaller[m]) + np.float64(top) * more
        if value != top:
            total -= np.float64(value)
        size += 1
    return np.float32(total / size)


@njit_inner
def _complete(x, first, classes, paths, winners, largest, t, stride, statistic, i):
    """For every row: statistic[1, row, i] = the sum of all probabilities but the largest, statistic[0, row, i]."""
    tops, draws, smaller = largest
    sure = False
    for row in range(statistic.shape[1]):
        sure |= statistic[0, row, i] > _SURE
        statistic[1, row, i] = _ONE - statistic[0, row, i]
    if not sure:
        return
    for m in range(x.size):
        values = row_at(x[m], first, classes)
        smaller[m], draws[m] = _below(values, tops[t + m * stride]), _draws(values, tops[t + m * stride])
    for row in range(statistic.shape[1]):
        if statistic[0, row, i] > _SURE:
            statistic[1, row, i] = _others_of(x, first, classes, paths[row], winners[row], largest, t, stride)


@njit_exact
def walk_units(block, together, order, plan, logits, results):
    """Visit every prefix of the units of a block, eight units side by side.

    block : Block; together : number of units that are sorted by difficulty at a time, a multiple of eight
    order : WalkOrder; plan : ProductPlan
    logits : bool, else the rows are probabilities: the largest is wanted, and the sum of the others
    results : Results
    """
    x, labels, offset, classes = block
    members, sizes, deepest, follows, scored, paths = order
    powers, steps, targets, height = plan
    cells, predicted, statistic = results
    models, nodes, units = x.size, members.size, labels.size
    padded = (classes + LANES - 1) // LANES * LANES
    numbers, by_difficulty = empty(together, np.int64), empty(together, np.int64)
    starts, lengths = empty(together, np.int64), empty(together, np.int64)
    tops, chosen = empty(models * together, np.float32), empty(together * padded, np.int32)
    buffers = Buffers(
        empty(padded, np.float32), empty(models, np.float32), tops, chosen, empty(together * padded, np.int32),
        empty(together * models * padded, np.float32),
    )  # fmt: skip
    counts = empty(classes + 2, np.int64)
    path = zeros((deepest + 1) * classes * LANES, np.float32)
    lanes = empty(models * classes * LANES, np.float32)
    truth, eight = empty(LANES, np.int32), empty(LANES, np.uint64)
    names, answers = empty(classes * LANES, np.int32), empty(scored.size * LANES, np.int32)
    hits, argmax = empty(nodes * LANES, np.uint8), empty(nodes * LANES, np.int32)
    won = empty(nodes * LANES, np.float32)
    scores = statistic.shape[1] if logits else 0
    winners = zeros(scores * together, np.int32)
    sums, apart = empty(scores * together, np.float32), empty(scores * together, np.float32)
    answered, largest = empty(scored.size, np.int32), Largest(tops, empty(models, np.int64), empty(models, np.float32))
    n = classes * LANES
    z, rows = zeros(n, np.float32), zeros(height * n, np.float32)
    rows[:n] = _ONE
    products = Products(rows, winners, sums, apart)
    right = zeros(nodes * together, np.uint8)
    for start in range(0, units, together):
        size = min(together, units - start)
        counts[:] = 0
        begin = 0
        for i in range(size):
            first, label = (start + i) * classes, labels[start + i]
            left, length = candidates(x, first, classes, deepest, follows, not logits, buffers, i, together, begin)
            if left == 1 and logits:  # one candidate: it wins every prefix
                numbers[i] = 0
                answer = chosen[begin]
                _fill(right, nodes, together, i, np.uint8(answer == label))
                _fill(winners, scores, together, i, answer)
                if predicted.size > 0:
                    predicted[:, offset + start + i] = answer
                continue
            numbers[i], starts[i], lengths[i] = left, begin, length
            counts[left + 1] += 1
            begin += length
        # Counting sort by the number of candidates, then eight at a time.
        for f in range(classes + 1):
            counts[f + 1] += counts[f]
        hard = counts[classes + 1]
        for i in range(size):
            if numbers[i] > 0:
                by_difficulty[counts[numbers[i]]] = i
                counts[numbers[i]] += 1
        for first in range(0, hard, LANES):
            side = min(LANES, hard - first)
            most = numbers[by_difficulty[first + side - 1]]
            room = most * LANES
            truth[:] = -1
            for u in range(LANES):  # fewer than eight units: the last one is repeated
                i = by_difficulty[first + min(u, side - 1)]
                begin = starts[i]
                eight[u] = i
                _pick(buffers, models, lengths[i], begin, numbers[i], lanes, u, room, LANES)
                for d in range(numbers[i]):
                    names[d * LANES + u] = chosen[begin + d]
                    if names[d * LANES + u] == labels[start + i]:
                        truth[u] = d
            path[:room] = ZERO
            for node in range(nodes):
                advance(
                    path, sizes[node] * room, (sizes[node] - 1) * room, lanes, members[node] * room, room, truth, hits,
                    argmax, won, node * LANES,
                )  # fmt: skip
            _sort_out(hits, nodes, eight, right, together)
            if logits:
                _name(argmax, scored, names, answers)
                _sort_out(answers, scored.size, eight, winners, together)
            else:
                for u in range(side):
                    i = start + np.int64(eight[u])
                    for row in range(scored.size):
                        node = scored[row]
                        answered[row] = names[argmax[node * LANES + u] * LANES + u]
                        statistic[0, row, i] = won[node * LANES + u] / np.float32(sizes[node])
                    _complete(x, i * classes, classes, paths, answered, largest, i - start, together, statistic, i)
            if predicted.size > 0:
                for node in range(nodes):
                    for u in range(side):
                        answer = names[argmax[node * LANES + u] * LANES + u]
                        predicted[node, offset + start + np.int64(eight[u])] = answer
        _pack(right, together, size, cells, offset + start)
        if scores == 0:
            continue
        for first in range(0, size, LANES):
            for p in range(powers.shape[0]):
                m = powers[p, 0]
                if p == 0 or m != powers[p - 1, 0]:
                    side = min(LANES, size - first)
                    _below_top(x[m], (start + first) * classes, classes, side, tops, m * together + first, z)
                _raise(powers, p, n, rows, n, z, ZERO)
            for t in range(steps.shape[0]):
                if start + together + first < units:  # prefetch the rows of the next `together` units
                    _ask_for(x, 4 * classes * (start + together + first), 4 * n, t, steps.shape[0])
                if steps[t, 0] == 0:
                    _form(steps, targets[t, 0], t, n, rows)
                else:
                    _sums_of_units(plan, t, first, together, n, products)
        for row in range(scores):
            part = slice(row * together, row * together + size)
            _shares(statistic[0, row, start : start + size], sums[part], apart[part])
            if _any_tiny(sums[part], apart[part]):
                for i in range(size):
                    if apart[row * together + i] < _TINY or sums[row * together + i] < LEAST:
                        winner = winners[row * together + i]
                        statistic[0, row, start + i] = _rest_of_sum(x, classes, start + i, paths[row], winner)


@njit_exact
def walk_classes(block, order, plan, logits, results):
    """As `walk_units`, one unit after the other."""
    x, labels, offset, classes = block
    members, sizes, deepest, follows, scored, paths = order
    powers, steps, targets, height = plan
    cells, predicted, statistic = results
    models, nodes, units = x.size, members.size, labels.size
    padded = (classes + LANES - 1) // LANES * LANES
    tops, chosen, lanes = empty(models, np.float32), empty(padded, np.int32), empty(models * padded, np.float32)
    buffers = Buffers(
        empty(padded, np.float32), empty(models, np.float32), tops, chosen, empty(padded, np.int32),
        empty(models * padded, np.float32),
    )  # fmt: skip
    path = zeros((deepest + 1) * padded, np.float32)
    hits, argmax = empty(nodes, np.uint8), empty(nodes, np.int32)
    won = empty(nodes, np.float32)
    scores = statistic.shape[1] if logits else 0
    winners = zeros(scores, np.int32)
    marked, spans = zeros(padded // PAIR + 1, np.uint8), empty(padded // PAIR + 1, np.int64)
    sums, apart = empty(scores, np.float32), empty(scores, np.float32)
    answered, largest = empty(scored.size, np.int32), Largest(tops, empty(models, np.int64), empty(models, np.float32))
    n = (classes + PAIR - 1) // PAIR * PAIR
    rows, right = zeros(height * n, np.float32), zeros(nodes * WIDTH, np.uint8)
    rows[:n] = _ONE
    products = Products(rows, winners, sums, apart)
    for i in range(units):
        first = i * classes
        left, length = candidates(x, first, classes, deepest, follows, not logits, buffers, 0, 1, 0)
        if left == 1 and logits:  # no choice
            answer = chosen[0]
            winners[:] = answer
            _fill(right, nodes, WIDTH, i % WIDTH, np.uint8(answer == labels[i]))
            if predicted.size > 0:
                predicted[:, offset + i] = answer
        else:
            room = (left + LANES - 1) // LANES * LANES
            _pick(buffers, models, length, 0, left, lanes, 0, room, 1)
            truth = -1
            for d in range(left):
                if chosen[d] == labels[i]:
                    truth = d
            path[:room] = ZERO
            for node in range(nodes):
                advance_one(
                    path, sizes[node] * room, (sizes[node] - 1) * room, lanes, members[node] * room, room,
                    np.int64(truth), hits, argmax, won, node,
                )  # fmt: skip
            for node in range(nodes):
                right[node * WIDTH + i % WIDTH] = hits[node]
            if predicted.size > 0:
                for node in range(nodes):
                    predicted[node, offset + i] = chosen[argmax[node]]
            for row in range(scored.size):
                node = scored[row]
                if logits:
                    winners[row] = chosen[argmax[node]]
                else:
                    answered[row] = chosen[argmax[node]]
                    statistic[0, row, i] = won[node] / np.float32(sizes[node])
            if not logits:
                _complete(x, first, classes, paths, answered, largest, 0, 1, statistic, i)
        if i % WIDTH == WIDTH - 1 or i == units - 1:
            _pack(right, WIDTH, i % WIDTH + 1, cells, offset + i // WIDTH * WIDTH)
        if scores == 0:
            continue
        for p in range(powers.shape[0]):
            m = powers[p, 0]
            _raise(powers, p, n, rows, classes, row_at(x[m], first, classes), tops[m])
        filled = _spans(winners, marked, spans)
        for t in range(steps.shape[0]):
            if i + 1 < units:  # prefetch the rows of the next unit
                _ask_for(x, 4 * (first + classes), 4 * classes, t, steps.shape[0])
            if steps[t, 0] == 0:
                _form(steps, targets[t, 0], t, n, rows)
            else:
                _sums_of_unit(plan, t, n, products, spans, filled)
        for row in range(scores):
            if apart[row] < _TINY or sums[row] < LEAST:
                statistic[0, row, i] = _rest_of_sum(x, classes, i, paths[row], winners[row])
            else:
                statistic[0, row, i] = sums[row] / apart[row]
