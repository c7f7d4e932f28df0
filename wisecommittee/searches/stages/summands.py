"""The summand of one model in the sums of prefixes: its outputs, converted a block of units at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.combine import softmax, unchanged
from wisecommittee.kernels.stages import rows as conversions
from wisecommittee.searches.stages.calibrated import CalibratedRows


@dataclass(frozen=True, slots=True)
class Summands:
    """The summand of one model in a prefix: rows [N, C] of its outputs, converted to float32 by `turn`.

    space : where the mean of the summands lives, 'logits' or 'probabilities'
    """

    outputs: NDArray[np.floating] | CalibratedRows
    turn: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    space: str

    @property
    def classes(self) -> int:
        return self.outputs.shape[1]

    @property
    def in_place(self) -> NDArray[np.float32] | None:
        """The stored outputs where they are the summands, as a kernel can read them; else None."""
        rows = self.outputs
        fits = self.turn is unchanged and isinstance(rows, np.ndarray) and rows.dtype == np.float32
        return rows if fits and rows.flags.c_contiguous and rows.flags.aligned else None  # type: ignore[union-attr,return-value]

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """float32 [stop - start, C], contiguous."""
        wide = _wide(np.ascontiguousarray(self.outputs[start:stop]))
        if self.turn is softmax:
            out = np.empty_like(wide)
            conversions.softmax(wide, out)
            return out
        return np.require(self.turn(wide), requirements=["C", "A"])


def _wide(stored: NDArray[np.floating]) -> NDArray[np.float32]:
    if stored.dtype != np.float16:
        return stored.astype(np.float32, copy=False)
    out = np.empty(stored.shape, np.float32)
    conversions.widen(stored.view(np.uint16).reshape(-1), out.reshape(-1))
    return out
