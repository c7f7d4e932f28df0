"""The figure that a frontier counts as the cost of a committee: the average over units, the worst case, or the 99th
percentile.

The sweeps minimise the total cost over the units plus a price of the combination. For the average the price is 0. For
the worst case it is the cost of all members together. The 99th percentile is the cumulative cost of the first stage
after which at most 1 % of the units go on; so a combination is swept once for each stage, at that stage's cost as its
price and with that limit on the units that run the next stage. Prices are numbered and put further apart than any
total, so that totals only break ties: of committees as good at the same price, the cheapest on average is reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import INT64_SAFE, CostModel
from wisecommittee.errors import UsageError, option
from wisecommittee.searches.percentile import share_above

Variants = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class CostAxis:
    """cost : the cost model of the sweeps, coarser than `full` where totals would not fit beside the prices
    prices : int64 [n] distinct, ascending, empty for the average; span : distance between the numbers of two prices
    """

    name: str
    units: int
    cost: CostModel
    full: CostModel
    prices: NDArray[np.int64]
    span: int = 0

    @classmethod
    def of(cls, name: str, cost: CostModel, units: int, sequences: Iterable[NDArray[np.int64]]) -> CostAxis:
        """sequences : all combinations that will be swept: int64 [n, size] for each size."""
        if name == "average":
            return cls(name, units, cost, cost, np.zeros(0, np.int64))
        if name == "p99" and cost.per_unit is not None:
            raise UsageError(
                f"{option('axis', 'p99')} needs a cost that is the same for every unit; {cost.name} varies"
            )
        by_size = [cost.worst(s) if name == "worst" else cost.cumulative(s).reshape(-1) for s in sequences]
        prices = np.unique(np.concatenate(by_size))
        most = int(max(cost.worst(s).max() for s in sequences)) * units + 1
        shift = max(0, (len(prices) * most).bit_length() - INT64_SAFE.bit_length() + 1)
        coarse = replace(
            cost, blocks=cost.blocks >> shift, per_unit=None if cost.per_unit is None else cost.per_unit >> shift
        )
        return cls(name, units, coarse, cost, prices, (most >> shift) + 1)

    def variants(self, sequences: NDArray[np.int64]) -> Variants:
        """The sweeps of the sequences [m, n]: the row of the sequence int64 [v], the start of its totals int64 [v], and
        caps int64 [v, n] on the units that run each stage."""
        m, n = sequences.shape
        if self.name == "p99":
            rows = np.repeat(np.arange(m), n)
            prices = self.full.cumulative(sequences).reshape(-1)
            caps = np.full((m, n, n), self.units, np.int64)
            caps[:, np.arange(n - 1), np.arange(1, n)] = share_above(self.units)
            return rows, self._start(prices), caps.reshape(-1, n)
        starts = np.zeros(m, np.int64) if self.name == "average" else self._start(self.full.worst(sequences))
        return np.arange(m), starts, np.full((m, n), self.units, np.int64)

    def _start(self, prices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.prices, prices) * self.span
