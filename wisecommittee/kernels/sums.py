"""Sums of integers along the axes of tables."""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_inner


@njit_inner
def cumulate(cells, table):
    """table[a, b] = sum of cells[: a + 1, : b + 1]."""
    rows, columns = cells.shape
    for b in range(columns):
        table[0, b] = cells[0, b]
    for a in range(1, rows):
        for b in range(columns):
            table[a, b] = table[a - 1, b] + cells[a, b]
    for a in range(rows):
        for b in range(1, columns):
            table[a, b] += table[a, b - 1]


@njit_inner
def cumulate_lines(table):
    """In place: table[a, b, :] = sum of table[: a + 1, : b + 1, :]."""
    rows, columns, width = table.shape
    for a in range(rows):
        for b in range(1, columns):
            for s in range(width):
                table[a, b, s] += table[a, b - 1, s]
        if a:
            for b in range(columns):
                for s in range(width):
                    table[a, b, s] += table[a - 1, b, s]


@njit_inner
def add_line(line, row):
    for j in range(line.size):
        line[j] += row[j]


@njit_inner
def raise_from(line, start, stop, amount):
    """line[start:stop] += amount."""
    for j in range(np.uint64(start), np.uint64(stop)):  # unsigned: no test for negative indices
        line[j] += amount
