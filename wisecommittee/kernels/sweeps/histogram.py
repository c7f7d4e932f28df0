"""Sums of many statistics at once over the units that continue at every pair of levels."""

from __future__ import annotations

from wisecommittee.kernels.jit import njit_exact


@njit_exact
def cumulate(bins1, bins2, rows, table):
    """table[j1, j2] = sum of rows where bin1 <= j1 and bin2 <= j2.

    bins1, bins2 : integer [n], below the levels or not counted; rows : int64 [n, S]; table : int64 [P1, P2, S] out.
    """
    levels1, levels2, width = table.shape
    table[:] = 0
    for i in range(bins1.size):
        b1, b2 = bins1[i], bins2[i]
        if b1 < levels1 and b2 < levels2:
            for s in range(width):
                table[b1, b2, s] += rows[i, s]
    for j1 in range(levels1):
        for j2 in range(1, levels2):
            for s in range(width):
                table[j1, j2, s] += table[j1, j2 - 1, s]
    for j1 in range(1, levels1):
        for j2 in range(levels2):
            for s in range(width):
                table[j1, j2, s] += table[j1 - 1, j2, s]
