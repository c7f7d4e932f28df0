"""The walk over all prefixes for max_prob: predictions on the few classes that can win, softmax denominators as
products of exponentials. The promise of equal bits is that of prefixes.py.

1. Predictions come from the candidates of candidates.py (median 1 to 3 classes), eight units with about as many of them
   side by side. A unit with one has no choice.
2. With E_i,k(c) = exp((l_i(c) - max l_i) / k), the sum over c of exp(mean of k members at c) is the sum of
   prod_i E_i,k(c) up to a factor, so a few rows of exponentials per model serve all prefixes of size k. The winner's
   own term stays out of the sum, where its last bits would drown the others.
3. Of probabilities the sum of the others is wanted only where the winner's comes close to 1, from the models' own sums.

Naive twin: tests/support/naive.py.
"""

from __future__ import annotations

import numpy as np

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
from wisecommittee.kernels.stages.candidates import candidates
from wisecommittee.kernels.stages.direct import LEAST, rest_of
from wisecommittee.kernels.stages.rows import add_to

UNIT_LANES = 128  # classes up to which lanes are units; a row of more fills them by itself
LINE = 64  # bytes of memory that come at once
WIDTH = 64  # units whose answers are kept before they become bits, where they are walked one by one
_NEVER = np.float32(-np.inf)
_ZERO, _ONE, _SIXTH = np.float32(0.0), np.float32(1.0), np.float32(1.0 / 6.0)
_TINY = np.float32(1e-25)  # below, a product of exponentials has lost bits: go back to the sum
_SURE = np.float32(0.968)  # probabilities whose complement is worth its own digits


@njit_inner
def _pick(columns, place, models, length, which, begin, left, out, to, room, step):
    """out[to + m * room + d * step] = the outputs of the classes that are left, and what never wins up to `room`."""
    for m in range(models):
        source, target = np.uint64(place + m * length), np.uint64(to + m * room)
        for d in range(np.uint64(left)):
            out[target] = columns[source + np.uint64(which[np.uint64(begin) + d])]
            target += np.uint64(step)
        for _ in range(left, room // step):
            out[target] = _NEVER
            target += np.uint64(step)


@njit_inner
def _raise(powers, p, n, rows, size, x, top):
    """One of `powers`: the first `size` entries of one or two rows of n. Two scales by one exponential, at a sixth."""
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
def _sums_of_units(steps, targets, t, first, width, n, rows, winners, sums, apart):
    """One step of the programme for eight units; those of score row r lie in r * width + first.."""
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
    """Where winners lie: the starts of pairs of vectors, ascending. marked : uint8 [>= C / 16], all 0; so left."""
    for row in range(winners.size):
        marked[winners[row] // PAIR] = 1
    some = 0
    for place in range(marked.size):
        if marked[place] > 0:
            spans[some] = place * PAIR
            some += 1
            marked[place] = 0
    return some


@njit_inner
def _sums_of_one(steps, targets, t, n, rows, spans, some, winners, sums, apart):
    """One step of the programme for one unit."""
    common, left0, left1, right0 = steps[t, 1] * n, steps[t, 2] * n, steps[t, 3] * n, steps[t, 4] * n
    t0 = targets[t, 0]
    if steps[t, 0] == 1:
        dots(rows, common, (left0,), (right0,), n, spans, some, winners, sums, apart, (t0,))
        return
    right = (right0, steps[t, 5] * n, steps[t, 6] * n, steps[t, 7] * n)
    t1, t2, t3 = targets[t, 1], targets[t, 2], targets[t, 3]
    if left1 < 0:
        dots(rows, common, (left0,), right, n, spans, some, winners, sums, apart, (t0, t1, t2, t3))
        return
    every = (t0, t1, t2, t3, targets[t, 4], targets[t, 5], targets[t, 6], targets[t, 7])
    dots(rows, common, (left0, left1), right, n, spans, some, winners, sums, apart, every)


@njit_inner
def _ask_for(x, offset, size, part, parts):
    """Start loading `size` bytes behind each address, of one part of so many of the models."""
    for m in range(part * x.size // parts, (part + 1) * x.size // parts):
        for at in range(0, size, LINE):
            prefetch(x[m] + offset + at)


@njit_inner
def _rest_of_sum(x, classes, i, path, winner):
    """The same from the sum itself, where members disagree too far for products. path : models, -1 after the last."""
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
def _sort_out(values, many, some, out, width):
    """out[k * width + some[u]] = values[8 k + u] for all eight u, of many k."""
    u0, u1, u2, u3, u4, u5, u6, u7 = some[0], some[1], some[2], some[3], some[4], some[5], some[6], some[7]
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
def _name(places, judged, names, out):
    """out[8 row + u] = names[8 places + u] of the judged nodes' places."""
    for row in range(np.uint64(judged.size)):
        source, target = np.uint64(judged[row]) * np.uint64(LANES), row * np.uint64(LANES)
        for u in range(np.uint64(LANES)):
            out[target + u] = names[np.uint64(places[source + u]) * np.uint64(LANES) + u]


@njit_inner
def _pack(right, width, units, cells, start):
    """What is 1 of right [nodes * width] as bits of cells from unit `start`, a multiple of eight, on."""
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
    """The sum of what is smaller than the largest value of a row."""
    total = _ZERO
    for c in range(row.size):
        total += row[c] if row[c] < top else _ZERO
    return total


@njit_inner
def _draws(row, top):
    count = 0
    for c in range(row.size):
        count += row[c] == top
    return count


@njit_inner
def _others_of(x, first, classes, path, winner, smaller, tops, t, stride, draws):
    """Mean over a path's models of the sum of all probabilities but the winner's.

    smaller, tops[t..], draws : of each model the sum of what is below its largest value, that, and how often it stands
    """
    total, size = 0.0, 0
    while size < path.size and path[size] >= 0:
        m = path[size]
        own, top = row_at(x[m], first, classes)[winner], tops[t + m * stride]
        more = draws[m] - 1 if own == top else draws[m]
        total += np.float64(smaller[m]) + np.float64(top) * more
        if own != top:
            total -= np.float64(own)
        size += 1
    return np.float32(total / size)


@njit_inner
def _complete(x, first, classes, paths, winners, smaller, tops, t, stride, draws, statistic, i):
    """statistic[1, row, i], what the largest probability statistic[0, row, i] leaves to the others, of every row."""
    some = False
    for row in range(statistic.shape[1]):
        some |= statistic[0, row, i] > _SURE
        statistic[1, row, i] = _ONE - statistic[0, row, i]
    if not some:
        return
    for m in range(x.size):
        own = row_at(x[m], first, classes)
        smaller[m], draws[m] = _below(own, tops[t + m * stride]), _draws(own, tops[t + m * stride])
    for row in range(statistic.shape[1]):
        if statistic[0, row, i] > _SURE:
            statistic[1, row, i] = _others_of(
                x, first, classes, paths[row], winners[row], smaller, tops, t, stride, draws
            )  # fmt: skip


@njit_exact
def walk_units(
    x, labels, offset, block, classes, members, sizes, deepest, follows, judged, logits, powers, steps, targets, paths,
    height, cells, predicted, statistic,
):  # fmt: skip
    """Visit every prefix of some units, block by block, eight units side by side.

    x : int64 [M] addresses of each model's summands, float32 [B, C], finite; classes : C
    labels : int64 [B]; where one is below 0, nothing is right
    offset : of the first unit in cells and predicted, a multiple of eight
    block : units that are sorted together, a multiple of eight
    members, sizes : int64 [nodes] trie in depth-first order; deepest : the largest size
    follows : float32 [M], 1 where a model only ever runs right after the one before it; or [0] if none does
    judged : int64 [score rows] node of each row of `statistic`
    logits : bool, else the rows are probabilities: the largest is wanted, and the sum of the others
    powers, steps, targets, paths, height : searches/stages/product_plan.py
    cells : uint8 [nodes, >= N / 8] out, bits of the units that are right; predicted : int32 [nodes, N] out, or [0, N]
    statistic : float32 [1, score rows, B] out: `rest` of logits; [2, ..] `top` and `rest` of probabilities
    """
    models, nodes, units = x.size, members.size, labels.size
    padded = (classes + LANES - 1) // LANES * LANES
    tops, at, gap = empty(models * block, np.float32), empty(models, np.float32), empty(padded, np.float32)
    found, order = empty(block, np.int64), empty(block, np.int64)
    starts, lengths = empty(block, np.int64), empty(block, np.int64)
    chosen, which = empty(block * padded, np.int32), empty(block * padded, np.int32)
    columns = empty(block * models * padded, np.float32)
    counts = empty(classes + 2, np.int64)
    path = zeros((deepest + 1) * classes * LANES, np.float32)
    lanes = empty(models * classes * LANES, np.float32)
    truth, some = empty(LANES, np.int32), empty(LANES, np.uint64)
    names, answers = empty(classes * LANES, np.int32), empty(judged.size * LANES, np.int32)
    hits, places = empty(nodes * LANES, np.uint8), empty(nodes * LANES, np.int32)
    won = empty(nodes * LANES, np.float32)
    scores = statistic.shape[1] if logits else 0
    winners = zeros(scores * block, np.int32)
    sums, apart = empty(scores * block, np.float32), empty(scores * block, np.float32)
    own, smaller, draws = empty(judged.size, np.int32), empty(models, np.float32), empty(models, np.int64)
    n = classes * LANES
    z, rows = zeros(n, np.float32), zeros(height * n, np.float32)
    rows[:n] = _ONE
    right = zeros(nodes * block, np.uint8)
    for start in range(0, units, block):
        here = min(block, units - start)
        counts[:] = 0
        begin = 0
        for i in range(here):
            first, label = (start + i) * classes, labels[start + i]
            left, length = candidates(
                x, first, classes, deepest, follows, not logits, gap, at, tops, i, block, chosen, begin, which, columns,
                models * begin,
            )  # fmt: skip
            if left == 1 and logits:  # no choice
                found[i] = 0
                answer = chosen[begin]
                _fill(right, nodes, block, i, np.uint8(answer == label))
                _fill(winners, scores, block, i, answer)
                if predicted.size > 0:
                    predicted[:, offset + start + i] = answer
                continue
            found[i], starts[i], lengths[i] = left, begin, length
            counts[left + 1] += 1
            begin += length
        # Counting sort by the number of candidates, then eight at a time.
        for f in range(classes + 1):
            counts[f + 1] += counts[f]
        hard = counts[classes + 1]
        for i in range(here):
            if found[i] > 0:
                order[counts[found[i]]] = i
                counts[found[i]] += 1
        for first in range(0, hard, LANES):
            side = min(LANES, hard - first)
            most = found[order[first + side - 1]]
            room = most * LANES
            truth[:] = -1
            for u in range(LANES):  # the last unit more than once where there are fewer
                i = order[first + min(u, side - 1)]
                begin = starts[i]
                some[u] = i
                _pick(columns, models * begin, models, lengths[i], which, begin, found[i], lanes, u, room, LANES)
                for d in range(found[i]):
                    names[d * LANES + u] = chosen[begin + d]
                    if names[d * LANES + u] == labels[start + i]:
                        truth[u] = d
            path[:room] = _ZERO
            for node in range(nodes):
                advance(
                    path, sizes[node] * room, (sizes[node] - 1) * room, lanes, members[node] * room, room, truth, hits,
                    places, won, node * LANES,
                )  # fmt: skip
            _sort_out(hits, nodes, some, right, block)
            if logits:
                _name(places, judged, names, answers)
                _sort_out(answers, judged.size, some, winners, block)
            else:
                for u in range(side):
                    i = start + np.int64(some[u])
                    for row in range(judged.size):
                        node = judged[row]
                        own[row] = names[places[node * LANES + u] * LANES + u]
                        statistic[0, row, i] = won[node * LANES + u] / np.float32(sizes[node])
                    _complete(
                        x, i * classes, classes, paths, own, smaller, tops, i - start, block, draws, statistic, i
                    )  # fmt: skip
            if predicted.size > 0:
                for node in range(nodes):
                    for u in range(side):
                        answer = names[places[node * LANES + u] * LANES + u]
                        predicted[node, offset + start + np.int64(some[u])] = answer
        _pack(right, block, here, cells, offset + start)
        if scores == 0:
            continue
        for first in range(0, here, LANES):
            for p in range(powers.shape[0]):
                m = powers[p, 0]
                if p == 0 or m != powers[p - 1, 0]:
                    side = min(LANES, here - first)
                    _below_top(x[m], (start + first) * classes, classes, side, tops, m * block + first, z)
                _raise(powers, p, n, rows, n, z, _ZERO)
            for t in range(steps.shape[0]):
                if start + block + first < units:  # what the next block needs comes while this one is worked on
                    _ask_for(x, 4 * classes * (start + block + first), 4 * n, t, steps.shape[0])
                if steps[t, 0] == 0:
                    _form(steps, targets[t, 0], t, n, rows)
                else:
                    _sums_of_units(steps, targets, t, first, block, n, rows, winners, sums, apart)
        for row in range(scores):
            here_of = slice(row * block, row * block + here)
            _shares(statistic[0, row, start : start + here], sums[here_of], apart[here_of])
            if _any_tiny(sums[here_of], apart[here_of]):
                for i in range(here):
                    if apart[row * block + i] < _TINY or sums[row * block + i] < LEAST:
                        winner = winners[row * block + i]
                        statistic[0, row, start + i] = _rest_of_sum(x, classes, start + i, paths[row], winner)


@njit_exact
def walk_classes(
    x, labels, offset, classes, members, sizes, deepest, follows, judged, logits, powers, steps, targets, paths, height,
    cells, predicted, statistic,
):  # fmt: skip
    """The same, unit by unit."""
    models, nodes, units = x.size, members.size, labels.size
    padded = (classes + LANES - 1) // LANES * LANES
    tops, at, gap = empty(models, np.float32), empty(models, np.float32), empty(padded, np.float32)
    chosen, which = empty(padded, np.int32), empty(padded, np.int32)
    columns, lanes = empty(models * padded, np.float32), empty(models * padded, np.float32)
    path = zeros((deepest + 1) * padded, np.float32)
    hits, places = empty(nodes, np.uint8), empty(nodes, np.int32)
    won = empty(nodes, np.float32)
    scores = statistic.shape[1] if logits else 0
    winners = zeros(scores, np.int32)
    marked, spans = zeros(padded // PAIR + 1, np.uint8), empty(padded // PAIR + 1, np.int64)
    sums, apart = empty(scores, np.float32), empty(scores, np.float32)
    own, smaller, draws = empty(judged.size, np.int32), empty(models, np.float32), empty(models, np.int64)
    n = (classes + PAIR - 1) // PAIR * PAIR
    rows, right = zeros(height * n, np.float32), zeros(nodes * WIDTH, np.uint8)
    rows[:n] = _ONE
    for i in range(units):
        first = i * classes
        left, length = candidates(
            x, first, classes, deepest, follows, not logits, gap, at, tops, 0, 1, chosen, 0, which, columns, 0
        )
        if left == 1 and logits:  # no choice
            answer = chosen[0]
            winners[:] = answer
            _fill(right, nodes, WIDTH, i % WIDTH, np.uint8(answer == labels[i]))
            if predicted.size > 0:
                predicted[:, offset + i] = answer
        else:
            room = (left + LANES - 1) // LANES * LANES
            _pick(columns, 0, models, length, which, 0, left, lanes, 0, room, 1)
            truth = -1
            for d in range(left):
                if chosen[d] == labels[i]:
                    truth = d
            path[:room] = _ZERO
            for node in range(nodes):
                advance_one(
                    path, sizes[node] * room, (sizes[node] - 1) * room, lanes, members[node] * room, room,
                    np.int64(truth), hits, places, won, node,
                )  # fmt: skip
            for node in range(nodes):
                right[node * WIDTH + i % WIDTH] = hits[node]
            if predicted.size > 0:
                for node in range(nodes):
                    predicted[node, offset + i] = chosen[places[node]]
            for row in range(judged.size):
                node = judged[row]
                if logits:
                    winners[row] = chosen[places[node]]
                else:
                    own[row] = chosen[places[node]]
                    statistic[0, row, i] = won[node] / np.float32(sizes[node])
            if not logits:
                _complete(x, first, classes, paths, own, smaller, tops, 0, 1, draws, statistic, i)
        if i % WIDTH == WIDTH - 1 or i == units - 1:
            _pack(right, WIDTH, i % WIDTH + 1, cells, offset + i // WIDTH * WIDTH)
        if scores == 0:
            continue
        for p in range(powers.shape[0]):
            m = powers[p, 0]
            _raise(powers, p, n, rows, classes, row_at(x[m], first, classes), tops[m])
        some = _spans(winners, marked, spans)
        for t in range(steps.shape[0]):
            if i + 1 < units:  # what the next unit needs comes while this one is worked on
                _ask_for(x, 4 * (first + classes), 4 * classes, t, steps.shape[0])
            if steps[t, 0] == 0:
                _form(steps, targets[t, 0], t, n, rows)
            else:
                _sums_of_one(steps, targets, t, n, rows, spans, some, winners, sums, apart)
        for row in range(scores):
            if apart[row] < _TINY or sums[row] < LEAST:
                statistic[0, row, i] = _rest_of_sum(x, classes, i, paths[row], winners[row])
            else:
                statistic[0, row, i] = sums[row] / apart[row]
