"""The integer quality of every prefix on every unit, as small as it can be held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 8  # units of one byte; blocks of units start at multiples of it
WORD = 64  # units of the words that kernels read


@dataclass(frozen=True, slots=True)
class Quality:
    """cells : uint8 [nodes, ceil(N / 64) * 8], a bit for each unit that is right, lowest first, zeros after the last;
    int32 [nodes, N] where units are graded. Both are read as lines of one integer per unit."""

    cells: NDArray[np.integer]
    units: int

    @classmethod
    def empty(cls, nodes: int, units: int, scale: int = 1) -> Quality:
        """To be filled by `put` or line by line. scale : of a fully right unit (Task.scale)."""
        if scale == 1:
            return cls(np.zeros((nodes, -(-units // WORD) * WORD // BITS), np.uint8), units)
        return cls(np.empty((nodes, units), np.int32), units)

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Of a line: uint8 or int32."""
        return self.cells.dtype

    @property
    def bits(self) -> bool:
        return self.dtype == np.uint8

    def row(self, node: int) -> NDArray[np.integer]:
        """[N] of one prefix."""
        return self.rows([node])[0]

    def rows(self, nodes: Sequence[int] | NDArray[np.integer]) -> NDArray[np.integer]:
        """[n, N] of several prefixes."""
        lines = self.cells[nodes]
        if not self.bits:
            return lines
        return np.unpackbits(lines.view(np.uint8), axis=1, count=self.units, bitorder="little")

    @property
    def words(self) -> NDArray[np.uint64]:
        """uint64 [nodes, ceil(N / 64)]: the bits."""
        return self.cells.view(np.uint64)

    def totals(self) -> NDArray[np.int64]:
        """int64 [nodes]: the sum over all units."""
        return (np.bitwise_count(self.cells) if self.bits else self.cells).sum(axis=1, dtype=np.int64)

    def put(self, node: int, line: NDArray[np.integer]) -> None:
        """One prefix, [N]."""
        line = np.packbits(line, bitorder="little") if self.bits else line
        self.cells[node, : len(line)] = line

    def put_block(self, start: int, hit: NDArray[np.uint8]) -> None:
        """Units that are right, [nodes, n] of 0 and 1, from unit `start`, a multiple of 8, on."""
        packed = np.packbits(hit, axis=1, bitorder="little")
        at = start // BITS
        self.cells[:, at : at + packed.shape[1]] = packed
