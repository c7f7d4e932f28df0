"""Stage tables: for every unit, every distinct prefix of members, its correctness and row statistics.

Prefixes form a trie in depth-first order, so each is its parent's float32 sum plus one member. This is the direct walk
over it, one unit at a time, for any statistics; products.py has a faster one for the statistic of max_prob.

What a walk writes for a prefix depends on its members' outputs alone, never on the rest of the trie, so the evaluator
of one committee gets the bits the search saw. Naive twin: tests/naive.py.
"""

from __future__ import annotations

import math

import numpy as np

from wisecommittee.kernels.arrays import zeros
from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_inner, njit_sums

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


@njit_inner
def _count_equal(row, stop, value):
    count = 0
    for c in range(stop):
        count += row[c] == value
    return count


@njit_inner
def _first(row, value):
    for c in range(row.size):
        if row[c] == value:
            return c
    return 0


@njit_sums
def rest_of(row, best, scale):
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


@njit_inner
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

    x : float32 [B, M, C] summands, finite; labels : int64 [B]; where one is below 0, nothing is right
    parents, members, sizes : int64 [nodes] trie in depth-first order; sizes = members of the prefix = its depth, from 1
    logit_space : bool [nodes]; score_rows : int64 [nodes] row in `statistics`, -1 where no confidence is wanted
    needs : bits of STATISTICS; sums : float32 [deepest + 1, C] scratch
    correct : uint8 [nodes, B] out; predicted : int32 [nodes, B] out, or [0, 0] if not wanted
    statistics : float32 [needed, score rows, B] out, in the order of STATISTICS
    """
    place = zeros(5, np.int64)
    for k in range(1, 5):
        place[k] = place[k - 1] + ((needs >> (k - 1)) & 1)
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
            hit = label >= 0 and total[label] == top
            if hit:
                hit = _count_equal(total, label, top) == 0
            correct[node, i] = hit
            if want_prediction:
                predicted[node, i] = _first(total, top)
            row = score_rows[node]
            if row >= 0:
                scale = np.float32(1.0) / np.float32(size)
                if needs & TOP:
                    statistics[place[0], row, i] = top / np.float32(size)
                if needs & SECOND:
                    best = _first(total, top)
                    second = larger(_top_of(total, 0, best), _top_of(total, best + 1, total.size))
                    statistics[place[1], row, i] = second / np.float32(size)
                if logit_space[node]:
                    if needs & REST:
                        statistics[place[2], row, i] = rest_of(total, _first(total, top), scale)
                    if needs & SPREAD:
                        statistics[place[3], row, i] = _spread(total, top, scale)
                elif needs & PLOGP:
                    statistics[place[4], row, i] = _plogp(total, scale)
