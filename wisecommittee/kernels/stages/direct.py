"""Stage tables: for every unit, every distinct prefix of members, its correctness and row statistics.

Prefixes form a trie in depth-first order, so the float32 sum of each is its parent's plus one member. This is the
direct walk over it, one unit at a time, for any statistics; products.py has a faster walk for that of max_prob.

What a walk writes for a prefix depends on the outputs of its members alone, never on the rest of the trie, so that
evaluating one committee gives the same bits as the search. Naive twin: tests/support/naive.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.jit import exp_nonpositive, larger, njit_exact, njit_inner, njit_sums
from wisecommittee.kernels.simd.arrays import zeros
from wisecommittee.kernels.stages.rows import LOWEST, NOTHING, ZERO

# Bits of `needs`, in the order of the statistics' axis.
TOP, SECOND, REST, SPREAD, PLOGP = 1, 2, 4, 8, 16
STATISTICS = ("top", "second", "rest", "spread", "plogp")
LEAST = np.float32(1e-30)  # a smaller sum of exponentials is replaced by its logarithm
_LOG_LEAST = -math.log(1e-30)
_MOST = 3e38


class Trie(NamedTuple):
    """Prefixes in depth-first order, int64 [nodes] each.

    parents : node without the newest member, -1 at the root; members : the newest member; sizes : members of the prefix
    logit_space : bool [nodes] whether the mean of its members is one of logits, else of probabilities
    score_rows : row in the statistics, -1 where no confidence is wanted
    """

    parents: NDArray[np.int64]
    members: NDArray[np.int64]
    sizes: NDArray[np.int64]
    logit_space: NDArray[np.bool_]
    score_rows: NDArray[np.int64]


class WalkOutputs(NamedTuple):
    """What the walk writes for a block of units.

    correct : uint8 [nodes, B]; predicted : int32 [nodes, B], or [0, 0] if not wanted
    statistics : float32 [needed, score rows, B], in the order of STATISTICS
    """

    correct: NDArray[np.uint8]
    predicted: NDArray[np.int32]
    statistics: NDArray[np.float32]


@njit_sums
def _add_and_top(total, before, x):
    """total = before + x; returns its largest value."""
    top = LOWEST
    for c in range(total.size):
        value = before[c] + x[c]
        total[c] = value
        top = larger(top, value)
    return top


@njit_sums
def _copy_and_top(total, x):
    top = LOWEST
    for c in range(total.size):
        total[c] = x[c]
        top = larger(top, x[c])
    return top


@njit_sums
def _top_of(row, start, stop):
    top = LOWEST
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
    """sum exp((row - top) * scale) over all classes but `best`, whose 1 would drown the last bits of the others."""
    total = ZERO
    for c in range(row.size):
        e = exp_nonpositive((row[c] - top) * scale)
        total += e if c != best else ZERO
    return total


@njit_inner
def beyond(row, best, scale):
    """Minus the logarithm of S = sum exp((row - row[best]) * scale) over the classes but `best`, and the mean of these
    exponents weighted by their terms, for an S too small for float32. Both start from the second largest value of the
    row, so that neither underflows."""
    top, second = np.float64(row[best]), larger(_top_of(row, 0, best), _top_of(row, best + 1, row.size))
    if second <= LOWEST:  # all other classes are masked
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
    """S = sum exp((row - row[best]) * scale) over the classes but `best`; log(S), which is negative, if S < LEAST."""
    total = _exponentials(row, row[best], best, scale)
    if total < LEAST:
        log, _ = beyond(row, best, scale)
        return np.float32(-log) if log > _LOG_LEAST else np.float32(math.exp(-log))
    return total


@njit_sums
def _spread(row, top, scale):
    total = ZERO
    for c in range(row.size):
        z = (row[c] - top) * scale
        total += exp_nonpositive(z) * z if z > NOTHING else ZERO
    return total


@njit_inner
def _spread_of(row, best, scale, rest):
    """sum exp(z) * z of z = (row - row[best]) * scale. rest : as `rest_of` returns it; where it is a logarithm, the sum
    is divided by the sum of exp(z)."""
    if rest < ZERO:
        _, exponents = beyond(row, best, scale)
        return np.float32(exponents)
    return _spread(row, row[best], scale)


@njit_sums
def _others(row, best):
    total = ZERO
    for c in range(row.size):
        total += row[c] if c != best else ZERO
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
def walk(x, labels, trie, needs, sums, outputs):
    """Visit every prefix of a block of units.

    x : float32 [B, M, C] summands, finite; labels : int64 [B]; where one is below 0, nothing is right
    trie : Trie; needs : bits of STATISTICS; sums : float32 [deepest + 1, C] scratch; outputs : WalkOutputs
    """
    parents, members, sizes, logit_space, score_rows = trie
    correct, predicted, statistics = outputs
    row_of = zeros(5, np.int64)  # of each statistic, among those that are needed
    for k in range(1, 5):
        row_of[k] = row_of[k - 1] + ((needs >> (k - 1)) & 1)
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
                    statistics[row_of[0], row, i] = top / np.float32(size)
                best = _first(total, top)
                if needs & SECOND:
                    second = larger(_top_of(total, 0, best), _top_of(total, best + 1, total.size))
                    statistics[row_of[1], row, i] = second / np.float32(size)
                if logit_space[node]:
                    if needs & (REST | SPREAD):
                        rest = rest_of(total, best, scale)
                        if needs & REST:
                            statistics[row_of[2], row, i] = rest
                        if needs & SPREAD:
                            statistics[row_of[3], row, i] = _spread_of(total, best, scale, rest)
                else:
                    if needs & REST:
                        statistics[row_of[2], row, i] = _others(total, best) * scale
                    if needs & PLOGP:
                        statistics[row_of[4], row, i] = _plogp(total, scale)
