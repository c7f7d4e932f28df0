"""Units with equal correctness and cost at every stage of a cascade share a profile, in which kernels look both up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class UnitProfiles:
    """profile : int32 [N] the profile of each unit; correct, fees : int64 [K, profiles] quality after each stage, and
    its cost.

    few : whether units are right or wrong and costs do not vary per unit: then there are 2^K profiles and fees is [K,
    1]. Otherwise every unit is its own profile.
    """

    profile: NDArray[np.int32]
    correct: NDArray[np.int64]
    fees: NDArray[np.int64]
    few: bool

    @classmethod
    def start(cls, units: int, *, few: bool) -> UnitProfiles:
        """The profiles before the first stage."""
        profile = np.zeros(units, np.int32) if few else np.arange(units, dtype=np.int32)
        none = np.zeros((0, 1 if few else units), np.int64)
        return cls(profile, none, none, few)

    def then(self, correct: NDArray[np.integer], fee: NDArray[np.int64] | int) -> UnitProfiles:
        """The profiles with one more stage: quality [N] after it; its cost, [N] or one for all units."""
        if not self.few:
            rows = [np.broadcast_to(np.asarray(row, np.int64), self.correct.shape[1]) for row in (correct, fee)]
            return UnitProfiles(
                self.profile, np.vstack([self.correct, rows[0]]), np.vstack([self.fees, rows[1]]), False
            )
        stages = len(self.correct)
        bits = np.arange(2 ** (stages + 1)) >> np.arange(stages + 1)[:, None] & 1
        fees = np.append(self.fees, fee)[:, None]
        return UnitProfiles(self.profile | np.left_shift(correct, stages, dtype=np.int32), bits, fees, few=True)

    def fees_from(self, stage: int) -> NDArray[np.int64]:
        """int64 [profiles, K - stage]: cost of each stage from this one on."""
        fees = self.fees[stage:]
        return np.broadcast_to(fees, (len(fees), self.correct.shape[1])).T.copy()

    def total_cost(self, first: int, stop: int) -> int:
        """Total cost if every unit runs the stages `first` to `stop` - 1."""
        fees = self.fees[first:stop]
        return int(fees.sum()) * (len(self.profile) if self.few else 1)

    def gains(self, stage: int) -> NDArray[np.bool_]:
        """bool [profiles]: whether a later stage is better than this one."""
        return self.correct[stage] < self.correct[stage + 1 :].max(axis=0)

    def best(self) -> NDArray[np.int32]:
        """int32 [profiles, 7]: the highest quality at stage 1, 2, 3, at 1 or 2, 1 or 3, 2 or 3, and at any of the
        three."""
        c1, c2, c3 = self.correct
        c12, c13, c23 = np.maximum(c1, c2), np.maximum(c1, c3), np.maximum(c2, c3)
        return np.stack([c1, c2, c3, c12, c13, c23, np.maximum(c12, c3)], axis=1).astype(np.int32)
