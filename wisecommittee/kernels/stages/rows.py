"""Rows of stored outputs turned into float32 summands, at the speed of memory."""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import bits_float, exp_nonpositive, larger, njit_exact, njit_inner, njit_sums

LOWEST = np.float32(-3.4028235e38)
NOTHING = np.float32(-87.0)  # exponents at which exp counts as 0
ZERO = np.float32(0.0)
_REBASE = np.float32(2.0**112)  # between the exponents of half and single precision, subnormal numbers included


@njit_exact
def widen(halves, out):
    """float32 [n] of finite float16 numbers given as their bits, uint16 [n]; exact. numpy converts one at a time."""
    for i in range(halves.size):
        half = np.int32(halves[i])
        sign = np.float32(1 - 2 * (half >> 15))
        out[i] = bits_float(np.int32((half & 0x7FFF) << 13)) * (sign * _REBASE)


@njit_sums
def add_to(total, row):
    """total += row."""
    for c in range(row.size):
        total[c] += row[c]


@njit_sums
def _exponentials(row, top, best, out):
    """out = exp(row - top); returns the sum of all but out[best], which is 1 and would drown their last bits."""
    rest = ZERO
    for c in range(row.size):
        z = row[c] - top
        e = exp_nonpositive(z) if z > NOTHING else ZERO
        out[c] = e
        rest += e if c != best else ZERO
    return rest


@njit_inner
def first_largest(row):
    top = LOWEST
    for c in range(row.size):
        top = larger(top, row[c])
    for c in range(row.size):
        if row[c] == top:
            return c
    return 0


@njit_inner
def _scale(row, factor):
    for c in range(row.size):
        row[c] = np.float32(np.float64(row[c]) * factor)


@njit_exact
def softmax(rows, out):
    """`committees.combine.softmax` of rows [n, C], finite float32."""
    for i in range(rows.shape[0]):
        best = first_largest(rows[i])
        rest = _exponentials(rows[i], rows[i, best], best, out[i])
        _scale(out[i], 1.0 / (1.0 + np.float64(rest)))
