"""Stage tables: for every unit, every distinct prefix of members, its correctness and row statistics.

Prefixes form a trie in depth-first order, so each is its parent's float32 sum plus one member. This is the direct walk
over it, one unit at a time, for any statistics; products.py has a faster one for the statistic of max_prob.

What a walk writes for a prefix depends on its members' outputs alone, never on the rest of the trie, so the evaluator
of one committee gets the bits the search saw. Naive twin: tests/support/naive.py.
"""

from __future__ import annotations

import math

import numpy as np

from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_inner, njit_sums
from wisecommittee.kernels.simd.arrays import zeros

# Bits of `needs`, in the order of the statistics' axis.
TOP, SECOND, REST, SPREAD, PLOGP = 1, 2, 4, 8, 16
STATISTICS = ("top", "second", "rest", "spread", "plogp")
LEAST = np.float32(1e-30)  # of a sum of exponentials; below, its logarithm
_LOG_LEAST = -math.log(1e-30)
_LOWEST, _MOST = np.float32(-3.4028235e38), 3e38
_NOTHING = np.float32(-87.0)  # exponents from here on count as those of nothing
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
def _exponentials(row, top, best, scale):
    """sum exp((row - top) * scale) over the classes but `best`: beside its own 1 it would lose its last bits."""
    total = _ZERO
    for c in range(row.size):
        e = exp_nonpositive((row[c] - top) * scale)
        total += e if c != best else _ZERO
    return total


@njit_inner
def beyond(row, best, scale):
    """Minus the logarithm of sum exp((row - row[best]) * scale) over the other classes, and the mean of the exponents,
    where float32 cannot hold the sum; from the second largest value, so that neither underflows."""
    top, second = np.float64(row[best]), larger(_top_of(row, 0, best), _top_of(row, best + 1, row.size))
    if second <= _LOWEST:  # nothing else is possible
        return _MOST, -_MOST
    total, exponents = 0.0, 0.0
    for c in range(row.size):
        below = (np.float64(row[c]) - np.float64(second)) * scale
        if c != best and below > -80.0:
            e = math.exp(min(below, 0.0))
            total += e
            exponents += e * (np.float64(row[c]) - top)
    gap = top - np.float64(second) if second < row[best] else 0.0  # sums of logits may overflow
    return min(gap * scale - math.log(total), _MOST), max(exponents / total * scale, -_MOST)


@njit_inner
def rest_of(row, best, scale):
    """sum exp((row - row[best]) * scale) over the other classes; where that is below LEAST, its logarithm."""
    total = _exponentials(row, row[best], best, scale)
    if total < LEAST:
        log, _ = beyond(row, best, scale)
        return np.float32(-log) if log > _LOG_LEAST else np.float32(math.exp(-log))
    return total


@njit_sums
def _spread(row, top, scale):
    total = _ZERO
    for c in range(row.size):
        z = (row[c] - top) * scale
        total += exp_nonpositive(z) * z if z > _NOTHING else _ZERO
    return total


@njit_inner
def _spread_of(row, best, scale, rest):
    """sum exp(z) * z of z = (row - row[best]) * scale; where `rest` is a logarithm, divided by what it is of."""
    if rest < _ZERO:
        _, exponents = beyond(row, best, scale)
        return np.float32(exponents)
    return _spread(row, row[best], scale)


@njit_sums
def _others(row, best):
    total = _ZERO
    for c in range(row.size):
        total += row[c] if c != best else _ZERO
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
                best = _first(total, top)
                if needs & SECOND:
                    second = larger(_top_of(total, 0, best), _top_of(total, best + 1, total.size))
                    statistics[place[1], row, i] = second / np.float32(size)
                if logit_space[node]:
                    if needs & (REST | SPREAD):
                        rest = rest_of(total, best, scale)
                        if needs & REST:
                            statistics[place[2], row, i] = rest
                        if needs & SPREAD:
                            statistics[place[3], row, i] = _spread_of(total, best, scale, rest)
                else:
                    if needs & REST:
                        statistics[place[2], row, i] = _others(total, best) * scale
                    if needs & PLOGP:
                        statistics[place[4], row, i] = _plogp(total, scale)
