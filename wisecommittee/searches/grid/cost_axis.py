"""The figure that a frontier counts as the cost of a committee: the average over units, the worst case, or a
percentile.

The sweeps minimise the total cost over the units plus a price of the combination. For the average the price is 0. For
the worst case it is the cost of all members together. A percentile of a cost that is the same for every unit is the
cumulative cost of the first stage after which few enough units go on; so a combination is swept once for each stage, at
that stage's cost as its price and with that limit on the units that run the next stage. A percentile of a cost that
varies per unit can have as many values as there are units; so a combination is swept once for each of a number of
budgets (budgets.py), at the budget as its price and with the limit that few enough units cost more. Prices are numbered
and put further apart than any total, so that totals only break ties: of committees as good at the same price, the
cheapest on average is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import INT64_SAFE, CostModel
from wisecommittee.searches.grid.budgets import budgets, quantile_of
from wisecommittee.searches.limits import Limit
from wisecommittee.searches.percentile import percent_of, units_above

Variants = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class CostAxis:
    """cost : the cost model of the sweeps, coarser than `full` where totals would not fit beside the prices
    prices : int64 [n] distinct, ascending, empty for the average; span : distance between the numbers of two prices
    levels : of each threshold of the sweeps, 1 where there are none
    """

    name: str
    units: int
    cost: CostModel
    full: CostModel
    prices: NDArray[np.int64]
    span: int = 0
    levels: int = 1

    @classmethod
    def of(
        cls, name: str, cost: CostModel, units: int, sequences: Sequence[NDArray[np.int64]], levels: int = 1
    ) -> CostAxis:
        """sequences : all combinations that will be swept: int64 [n, size] for each size."""
        if name == "average":
            return cls(name, units, cost, cost, np.zeros(0, np.int64))
        percent = percent_of(name)
        if percent is not None and cost.per_unit is not None:
            prices = budgets(cost.per_unit, units_above(percent, units), sequences, thresholded=levels > 1)
        else:
            by_size = [cost.worst(s) if name == "worst" else cost.cumulative(s).reshape(-1) for s in sequences]
            prices = np.unique(np.concatenate(by_size))
        most = int(max(cost.worst(s).max() for s in sequences)) * units + 1
        shift = max(0, (len(prices) * most).bit_length() - INT64_SAFE.bit_length() + 1)
        return cls(name, units, cost.coarser(shift), cost, prices, (most >> shift) + 1, levels)

    @property
    def allowed(self) -> int | None:
        """How many units may cost more than the percentile; None for another axis."""
        percent = percent_of(self.name)
        return None if percent is None else units_above(percent, self.units)

    @property
    def budgeted(self) -> bool:
        """Whether combinations are swept once for each budget."""
        return self.allowed is not None and self.full.per_unit is not None

    def variants(self, sequences: NDArray[np.int64]) -> Variants:
        """The sweeps of the sequences [m, n]: the row of the sequence int64 [v], the start of its totals int64 [v], and
        caps int64 [v, n] on the units that run each stage."""
        m, n = sequences.shape
        if self.allowed is not None and not self.budgeted:
            rows = np.repeat(np.arange(m), n)
            prices = self.full.cumulative(sequences).reshape(-1)
            caps = np.full((m, n, n), self.units, np.int64)
            caps[:, np.arange(n - 1), np.arange(1, n)] = self.allowed
            return rows, self._start(prices), caps.reshape(-1, n)
        starts = self._start(self.full.worst(sequences)) if self.name == "worst" else np.zeros(m, np.int64)
        return np.arange(m), starts, np.full((m, n), self.units, np.int64)

    def at_budgets(
        self, head: Sequence[int], lasts: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.bool_], int, Limit]]:
        """The sweeps of the cascades head + (last,), where combinations are swept once for each budget: which last
        members take part bool [m], the start of the totals, and the limit.

        A budget takes part from the percentile of the first stage alone up to the first at or above that of all stages.
        """
        per_unit, allowed = self.full.per_unit, self.allowed
        assert per_unit is not None
        assert allowed is not None
        before = per_unit[list(head)].sum(axis=0)
        highest = [quantile_of(before + per_unit[m], allowed) for m in lasts.tolist()]
        ends = np.searchsorted(self.prices, highest)
        begins = ends
        if head and self.levels > 1:
            begins = np.full_like(ends, np.searchsorted(self.prices, quantile_of(per_unit[head[0]], allowed)))
        for number in range(int(begins.min()), int(ends.max()) + 1):
            taking_part = (begins <= number) & (number <= ends)
            yield taking_part, number * self.span, Limit(self.full, int(self.prices[number]), allowed)

    def _start(self, prices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.prices, prices) * self.span
