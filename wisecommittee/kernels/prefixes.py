"""Stage tables by a direct walk: for every unit, every distinct prefix of members, its correctness and row statistics.

Prefixes form a trie in depth-first order, so each is its parent's float32 sum plus one member. Naive twin: tests/naive.py.
"""

from __future__ import annotations

import math

import numpy as np

from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_sums

# Bits of `needs`, in the order of the statistics' last axis.
TOP, SECOND, MASS, SPREAD, PLOGP = 1, 2, 4, 8, 16
STATISTICS = ("top", "second", "mass", "spread", "plogp")
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
def _mass(row, top, scale):
    total = _ZERO
    for c in range(row.size):
        total += exp_nonpositive((row[c] - top) * scale)
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
    statistics : float32 [5, B, score rows] out, written where needed
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
                    statistics[0, i, row] = top / np.float32(size)
                if needs & SECOND:
                    best = _first(total, top)
                    second = larger(_top_of(total, 0, best), _top_of(total, best + 1, total.size))
                    statistics[1, i, row] = second / np.float32(size)
                if logit_space[node]:
                    if needs & MASS:
                        statistics[2, i, row] = _mass(total, top, scale)
                    if needs & SPREAD:
                        statistics[3, i, row] = _spread(total, top, scale)
                elif needs & PLOGP:
                    statistics[4, i, row] = _plogp(total, scale)
