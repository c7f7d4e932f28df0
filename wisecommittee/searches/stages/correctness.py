"""The integer statistic of every prefix on every unit (tasks with S = 1), in as few bits as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 8  # units in a byte; blocks of units start at multiples of it
WORD = 64  # units in a word of a kernel
UNPACKED_BYTES = 8 << 20  # bytes of rows that are unpacked at a time


@dataclass(frozen=True, slots=True)
class Correctness:
    """The correctness of each prefix on each unit, read as rows of one integer per unit.

    cells : where units are right or wrong, uint8 [nodes, ceil(N / 64) * 8]: bit i % 8 of byte i // 8 says whether unit
    i is right, bits from N on are 0; where units are graded, int32 [nodes, N]
    units : N
    """

    cells: NDArray[np.integer]
    units: int

    @classmethod
    def empty(cls, nodes: int, units: int, scale: int = 1) -> Correctness:
        """To be filled by `put`. scale : the statistic of a fully right unit (Task.scale)."""
        if scale == 1:
            return cls(np.zeros((nodes, -(-units // WORD) * WORD // BITS), np.uint8), units)
        return cls(np.empty((nodes, units), np.int32), units)

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The type of a row: uint8 or int32."""
        return self.cells.dtype

    @property
    def bits(self) -> bool:
        """Whether units are right or wrong."""
        return self.dtype == np.uint8

    def of_units(self, rows: NDArray[np.int64]) -> Correctness:
        """The same prefixes on these units only."""
        nodes = len(self.cells)
        if self.units == 0:  # statistics are read for one committee at a time
            return self
        if not self.bits:
            return Correctness(np.take(self.cells, rows, axis=1), len(rows))
        out = Correctness.empty(nodes, len(rows))
        step = max(1, UNPACKED_BYTES // max(1, self.units))
        for start in range(0, nodes, step):
            kept = np.take(self.rows(np.arange(start, min(start + step, nodes))), rows, axis=1)
            packed = np.packbits(kept, axis=1, bitorder="little")
            out.cells[start : start + step, : packed.shape[1]] = packed
        return out

    def row(self, node: int) -> NDArray[np.integer]:
        """The row [N] of one prefix."""
        return self.rows([node])[0]

    def rows(self, nodes: Sequence[int] | NDArray[np.integer]) -> NDArray[np.integer]:
        """The rows [n, N] of several prefixes."""
        cells = self.cells[nodes]
        if not self.bits:
            return cells
        return np.unpackbits(cells.view(np.uint8), axis=1, count=self.units, bitorder="little")

    @property
    def words(self) -> NDArray[np.uint64]:
        """uint64 [nodes, ceil(N / 64)]: the bits, 64 to a word."""
        return self.cells.view(np.uint64)

    def totals(self) -> NDArray[np.int64]:
        """int64 [nodes]: the sum over all units."""
        return (np.bitwise_count(self.cells) if self.bits else self.cells).sum(axis=1, dtype=np.int64)

    def put(self, node: int, row: NDArray[np.integer]) -> None:
        """Set the row [N] of one prefix."""
        packed = np.packbits(row, bitorder="little") if self.bits else row
        self.cells[node, : len(packed)] = packed

    def put_block(self, start: int, hit: NDArray[np.uint8]) -> None:
        """Set units start to start + n of every prefix. hit : [nodes, n] of 0 and 1; start : a multiple of 8."""
        packed = np.packbits(hit, axis=1, bitorder="little")
        at = start // BITS
        self.cells[:, at : at + packed.shape[1]] = packed
