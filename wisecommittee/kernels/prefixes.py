"""Stage tables: for every unit, every distinct prefix of members, its correctness and row statistics.

Prefixes form a trie in depth-first order, so each is its parent's float32 sum plus one member. Two walks over it, one
unit at a time:

walk           the direct one, for any statistic
walk_products  for max_prob: predictions on the few classes that can win, softmax denominators as products of
exponentials

What a walk writes for a prefix depends on its members' outputs alone, never on the rest of the trie, so the evaluator
of one committee gets the bits the search saw. Naive twin: tests/naive.py.
"""

from __future__ import annotations

import math

import numpy as np

from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_sums

# Bits of `needs`, in the order of the statistics' axis.
TOP, SECOND, REST, SPREAD, PLOGP = 1, 2, 4, 8, 16
STATISTICS = ("top", "second", "rest", "spread", "plogp")
_LOWEST = np.float32(-3.4028235e38)
_ZERO = np.float32(0.0)


@njit_sums
def _add_and_top(total, before, x):
    """total = before + x; returns its largest value."""
    top = _LOWEST
    for c in range(total.size):
        value = before[c] + x[c]
        total[c] = value
        top = larger(top, value)
    return top


@njit_sums
def _copy_and_top(total, x):
    top = _LOWEST
    for c in range(total.size):
        total[c] = x[c]
        top = larger(top, x[c])
    return top


@njit_sums
def _top_of(row, start, stop):
    top = _LOWEST
    for c in range(start, stop):
        top = larger(top, row[c])
    return top


@njit_exact
def _count_equal(row, stop, value):
    count = 0
    for c in range(stop):
        count += row[c] == value
    return count


@njit_exact
def _first(row, value):
    for c in range(row.size):
        if row[c] == value:
            return c
    return 0


@njit_sums
def _rest(row, best, scale):
    """sum exp((row - row[best]) * scale) over the other classes: beside the top's own 1 it would lose its last bits."""
    top = row[best]
    total = _ZERO
    for c in range(row.size):
        e = exp_nonpositive((row[c] - top) * scale)
        total += e if c != best else _ZERO
    return total


@njit_sums
def _spread(row, top, scale):
    total = _ZERO
    for c in range(row.size):
        z = (row[c] - top) * scale
        total += exp_nonpositive(z) * z
    return total


@njit_exact
def _plogp(row, scale):
    total = 0.0
    for c in range(row.size):
        p = np.float64(row[c] * scale)
        if p > 0.0:
            total += p * math.log(p)
    return np.float32(total)


@njit_exact
def walk(x, labels, parents, members, sizes, logit_space, score_rows, needs, sums, correct, predicted, statistics):
    """Visit every prefix of a block of units.

    x : float32 [B, M, C] summands, finite; labels : int64 [B], or -1 everywhere where only predictions are wanted
    parents, members, sizes : int64 [nodes] trie in depth-first order; sizes = members of the prefix = its depth, from 1
    logit_space : bool [nodes]; score_rows : int64 [nodes] row in `statistics`, -1 where no confidence is wanted
    needs : bits of STATISTICS; sums : float32 [deepest + 1, C] scratch
    correct : uint8 [B, nodes] out; predicted : int32 [B, nodes] out, or [0, 0] if not wanted
    statistics : float32 [B, score rows, 5] out, written where needed
    """
    nodes = parents.size
    want_prediction = predicted.size > 0
    for i in range(x.shape[0]):
        label = labels[i]
        for node in range(nodes):
            size = sizes[node]
            total = sums[size]
            if parents[node] < 0:
                top = _copy_and_top(total, x[i, members[node]])
            else:
                top = _add_and_top(total, sums[size - 1], x[i, members[node]])
            if label >= 0:
                hit = total[label] == top
                if hit:
                    hit = _count_equal(total, label, top) == 0
                correct[i, node] = hit
            if want_prediction:
                predicted[i, node] = _first(total, top)
            row = score_rows[node]
            if row >= 0:
                scale = np.float32(1.0) / np.float32(size)
                if needs & TOP:
                    statistics[i, row, 0] = top / np.float32(size)
                if needs & SECOND:
                    best = _first(total, top)
                    second = larger(_top_of(total, 0, best), _top_of(total, best + 1, total.size))
                    statistics[i, row, 1] = second / np.float32(size)
                if logit_space[node]:
                    if needs & REST:
                        statistics[i, row, 2] = _rest(total, _first(total, top), scale)
                    if needs & SPREAD:
                        statistics[i, row, 3] = _spread(total, top, scale)
                elif needs & PLOGP:
                    statistics[i, row, 4] = _plogp(total, scale)


@njit_exact
def _add(total, row):
    for c in range(total.size):
        total[c] += row[c]


@njit_sums
def _add_and_range(total, row):
    """total += row; returns the largest and the smallest value of row."""
    top = _LOWEST
    low = _LOWEST
    for c in range(total.size):
        value = row[c]
        total[c] += value
        top = larger(top, value)
        low = larger(low, -value)
    return top, -low


@njit_sums
def _raise_to_gap(gap, row, at):
    """gap = max(gap, row - at)."""
    for c in range(gap.size):
        gap[c] = larger(gap[c], row[c] - at)


@njit_exact
def _exponentials(out, row, top, scale):
    for c in range(row.size):
        out[c] = exp_nonpositive((row[c] - top) * scale)


# Below, rows are (flat array, unsigned offset): a view per call would cost two atomic reference counts, and unsigned
# offsets spare the test for negative indices that keeps a loop from vectorising.


@njit_exact
def _multiply(out, o, a, i, b, j, n):
    for c in range(n):
        out[o + c] = a[i + c] * b[j + c]


@njit_sums
def _sum(a, i, n):
    total = _ZERO
    for c in range(n):
        total += a[i + c]
    return total


@njit_sums
def _dot(a, i, b, j, n):
    total = _ZERO
    for c in range(n):
        total += a[i + c] * b[j + c]
    return total


@njit_sums
def _put_and_top(out, o, a, i, n):
    top = _LOWEST
    for c in range(n):
        out[o + c] = a[i + c]
        top = larger(top, a[i + c])
    return top


@njit_sums
def _put_sum_and_top(out, o, a, i, b, j, n):
    top = _LOWEST
    for c in range(n):
        value = a[i + c] + b[j + c]
        out[o + c] = value
        top = larger(top, value)
    return top


@njit_exact
def _place(a, i, n, value):
    for c in range(n):
        if a[i + c] == value:
            return c
    return np.uint64(0)


@njit_exact
def _candidates(rows, label, tops, work, gap, candidates):
    """Classes that can win some prefix, ascending, and the label; fills tops with each model's largest value.

    With p the argmax of the sum over all models: a class that lies below p in every model, by more than a float32 sum
    can round away, lies below p in every prefix.
    """
    count = rows.shape[0]
    largest = _ZERO
    work[:] = _ZERO
    for m in range(count):
        tops[m], low = _add_and_range(work, rows[m])
        largest = larger(largest, larger(tops[m], -low))
    pivot = _first(work, _top_of(work, 0, work.size))
    gap[:] = _LOWEST
    for m in range(count):
        _raise_to_gap(gap, rows[m], rows[m, pivot])
    slack = -(np.float32(1e-5) * largest + np.float32(1e-30))
    found = 0
    for c in range(work.size):
        if gap[c] >= slack or c == label:
            candidates[found] = c
            found += 1
    return found


@njit_exact
def _equal_below(a, i, n, value):
    count = 0
    for c in range(n):
        count += a[i + c] == value
    return count


@njit_exact
def _winners(columns, found, truth, parents, members, sizes, score_rows, predict, sums, hit, won, best):
    """Correctness, winning value and, where it is needed, winning candidate of every prefix.

    columns : float32 [M * found] the candidates' outputs; truth : place of the label among them;
    sums : float32 [>= (deepest + 1) * found] scratch; best : uint64 [nodes] out, of scored prefixes unless predict.
    """
    for node in range(parents.size):
        size, own = np.uint64(sizes[node]), np.uint64(members[node]) * found
        here = size * found
        if found <= _FEW:
            top = _LOWEST
            for d in range(found):
                value = columns[own + d]
                if size > 1:
                    value = sums[here - found + d] + value
                sums[here + d] = value
                top = max(top, value)
        elif size == 1:
            top = _put_and_top(sums, here, columns, own, found)
        else:
            top = _put_sum_and_top(sums, here, sums, here - found, columns, own, found)
        won[node] = top
        right = sums[here + truth] == top and _equal_below(sums, here, truth, top) == 0
        hit[node] = right
        if right:
            best[node] = truth
        elif predict or score_rows[node] >= 0:
            best[node] = _place(sums, here, found, top)


_FEW = 12  # candidates up to which a scalar loop is faster
_TINY = np.float32(1e-25)  # below, a product of exponentials has lost bits: go back to the sum


@njit_exact
def walk_products(
    x, labels, parents, members, sizes, score_rows, deepest, raised, logits, correct, predicted, statistics
):  # fmt: skip
    """The walk for max_prob; arguments as in `walk`, and

    deepest : int64 [nodes] largest size of a scored prefix at or below a node, 0 if none; raised : bool [D, M] which
    E_m,k a scored prefix needs, D = 0 or at least 2; logits : bool, else the rows are probabilities and only the top is
    wanted.

    Predictions come from the candidate classes (median 1 to 3 of 1000). Denominators: with
    E_i,k(c) = exp((l_i(c) - max l_i) / k), the sum over c of exp(mean of k members at c) is the sum of prod_i E_i,k(c)
    up to a factor, so a few rows of exponentials per model serve all prefixes of size k.
    """
    count, classes = x.shape[1], x.shape[2]
    depth = raised.shape[0] if logits else 0
    n = np.uint64(classes)
    all_models = np.uint64(count) * n
    longest = 1
    for node in range(sizes.size):
        longest = max(longest, sizes[node])
    work = np.empty(classes, np.float32)
    gap = np.empty(classes, np.float32)
    candidates = np.empty(classes, np.int64)
    columns = np.empty(count * classes, np.float32)
    sums = np.empty((longest + 1) * classes, np.float32)
    powers = np.zeros(depth * count * classes, np.float32)  # [size - 1, model, class]; 0 where not raised (tiers)
    products = np.empty((depth + 1) * (depth + 1) * classes, np.float32)  # [scaled by, size, class]
    tops = np.empty(count, np.float32)
    best = np.empty(parents.size, np.uint64)
    won = np.empty(parents.size, np.float32)
    path = np.zeros(longest + 1, np.uint64)
    predict = predicted.size > 0
    for i in range(x.shape[0]):
        rows = x[i]
        found = np.uint64(_candidates(rows, labels[i], tops, work, gap, candidates))
        if found == 1 and logits:
            correct[i, :] = True
            best[:] = 0
        else:
            at = 0
            for m in range(count):
                for d in range(found):
                    columns[at] = rows[m, candidates[d]]
                    at += 1
            truth = np.uint64(0)
            while candidates[truth] != labels[i]:
                truth += np.uint64(1)
            _winners(
                columns, found, truth, parents, members, sizes, score_rows, predict, sums, correct[i], won, best
            )  # fmt: skip
        if predict:
            for node in range(parents.size):
                predicted[i, node] = candidates[best[node]]
        if not logits:
            for node in range(parents.size):
                if score_rows[node] >= 0:
                    statistics[i, score_rows[node], 0] = won[node] / np.float32(sizes[node])
            continue
        for m in range(count):
            here = np.uint64(m) * n
            for k in range(1, depth):
                if raised[k, m] or (k == 1 and raised[0, m]):
                    start = np.uint64(k) * all_models + here
                    _exponentials(powers[start : start + n], rows[m], tops[m], np.float32(1.0) / np.float32(k + 1))
            if depth and raised[0, m]:  # exp(z) = exp(z / 2) ** 2
                _multiply(powers, here, powers, all_models + here, powers, all_models + here, n)
        for node in range(parents.size):
            if deepest[node] == 0:
                continue
            size, own = np.uint64(sizes[node]), np.uint64(members[node]) * n
            path[size] = own
            # Products that deeper prefixes continue: one for each size they are scaled by.
            if size > 1:
                for k in range(size + np.uint64(1), np.uint64(deepest[node]) + np.uint64(1)):
                    level = (k - np.uint64(1)) * all_models
                    line = (k * np.uint64(depth + 1) + size) * n
                    if size == 2:
                        _multiply(products, line, powers, level + path[1], powers, level + own, n)
                    else:
                        _multiply(products, line, products, line - n, powers, level + own, n)
            row = score_rows[node]
            if row < 0:
                continue
            level = (size - np.uint64(1)) * all_models
            winner = np.uint64(candidates[best[node]])
            at_top = np.float32(1.0)
            for k in range(np.uint64(1), size + np.uint64(1)):
                at_top *= powers[level + path[k] + winner]
            if at_top < _TINY:
                statistics[i, row, 2] = _rest_of_sum(rows, path, size, winner)
                continue
            # The winner's own term stays out of the sum, where its last bits would drown the others.
            kept = powers[level + own + winner]
            powers[level + own + winner] = _ZERO
            if size == 1:
                rest = _sum(powers, own, n)
            elif size == 2:
                rest = _dot(powers, level + path[1], powers, level + own, n)
            else:
                line = (size * np.uint64(depth + 1) + size - np.uint64(1)) * n
                rest = _dot(products, line, powers, level + own, n)
            powers[level + own + winner] = kept
            statistics[i, row, 2] = rest / at_top


@njit_exact
def _rest_of_sum(rows, path, size, best):
    """The same from the sum itself, where members disagree too far for products."""
    n = np.uint64(rows.shape[1])
    total = rows[path[1] // n].copy()
    for k in range(np.uint64(2), size + np.uint64(1)):
        _add(total, rows[path[k] // n])
    return _rest(total, np.int64(best), np.float32(1.0) / np.float32(size))
