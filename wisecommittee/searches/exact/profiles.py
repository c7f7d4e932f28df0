"""Units that are alike at every stage of a cascade, so that kernels look up what a kind has and pays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Kinds:
    """kind : int32 [N]; right, fees : int64 [K, kinds] quality after each stage and what it costs to run it.

    With answers that are right or wrong and costs that do not vary (fees is [K, 1] then) there are 2^K kinds; else
    every unit is one of its own.
    """

    kind: NDArray[np.int32]
    right: NDArray[np.int64]
    fees: NDArray[np.int64]
    few: bool

    @classmethod
    def start(cls, units: int, *, few: bool) -> Kinds:
        """Before the first stage."""
        kind = np.zeros(units, np.int32) if few else np.arange(units, dtype=np.int32)
        none = np.zeros((0, 1 if few else units), np.int64)
        return cls(kind, none, none, few)

    def then(self, right: NDArray[np.integer] | int, fee: NDArray[np.int64] | int) -> Kinds:
        """With one more stage: quality [N] after it, cost [N] or the same for all."""
        if not self.few:
            rows = [np.broadcast_to(np.asarray(row, np.int64), self.right.shape[1]) for row in (right, fee)]
            return Kinds(self.kind, np.vstack([self.right, rows[0]]), np.vstack([self.fees, rows[1]]), few=False)
        stages = len(self.right)
        bits = np.arange(2 ** (stages + 1)) >> np.arange(stages + 1)[:, None] & 1
        fees = np.append(self.fees, fee)[:, None]
        return Kinds(self.kind | np.left_shift(right, stages, dtype=np.int32), bits, fees, few=True)

    def paid(self, first: int) -> NDArray[np.int64]:
        """int64 [kinds, K - first] what a kind pays for each stage from the first on."""
        fees = self.fees[first:]
        return np.broadcast_to(fees, (len(fees), self.right.shape[1])).T.copy()

    def total(self, first: int, last: int) -> int:
        """What all units pay for these stages."""
        fees = self.fees[first:last]
        return int(fees.sum()) * (len(self.kind) if self.few else 1)

    def gains(self, stage: int) -> NDArray[np.bool_]:
        """[kinds] : whether a later stage is better than this one."""
        return self.right[stage] < self.right[stage + 1 :].max(axis=0)

    def best(self) -> NDArray[np.int32]:
        """int32 [kinds, 7]: the most a unit has at stages 1, 2, 3, at 1 or 2, 1 or 3, 2 or 3, and at any."""
        c1, c2, c3 = self.right
        c12, c13, c23 = np.maximum(c1, c2), np.maximum(c1, c3), np.maximum(c2, c3)
        return np.stack([c1, c2, c3, c12, c13, c23, np.maximum(c12, c3)], axis=1).astype(np.int32)
