"""Sums of several statistics at once over the units that continue at every pair of levels."""

from __future__ import annotations

from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.sums import cumulate_lines


@njit_exact
def sum_by_levels(bins1, bins2, rows, table):
    """table[j1, j2] = sum of rows where bin1 <= j1 and bin2 <= j2.

    bins1, bins2 : integer [n]; units whose bin is the number of levels or more are left out
    rows : int64 [n, S]; table : int64 [P1, P2, S] out
    """
    levels1, levels2, width = table.shape
    table[:] = 0
    for i in range(bins1.size):
        b1, b2 = bins1[i], bins2[i]
        if b1 < levels1 and b2 < levels2:
            for s in range(width):
                table[b1, b2, s] += rows[i, s]
    cumulate_lines(table)
