"""The figures of the costs of committees that share an exit table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import CostModel
from wisecommittee.searches.distribution import CostDetail, Distribution
from wisecommittee.searches.evaluation import Cost


class CostFigures(NamedTuple):
    """Of one committee, by the name of the cost."""

    figures: Mapping[str, Cost]
    distributions: Mapping[str, Distribution]


@dataclass(frozen=True, slots=True)
class TableCost:
    """One cost of an exit table of R rows over N units, and what is reported of its distribution.

    cost : int64 [R] or, where it varies per unit, [R, N] cumulative costs
    """

    charges: CostModel
    cost: NDArray[np.int64]
    percents: tuple[float, ...]
    amounts: tuple[float, ...]

    def figures(self, costs: NDArray[np.int64], units: NDArray[np.int64]) -> list[tuple[Cost, Distribution]]:
        """Of n committees; costs int64 [m] and units int64 [n, m] as of Cost.of."""
        figures = Cost.of(self.charges, costs, units, int(self.cost.max()))
        distributions = Distribution.of(self.charges, costs, units, self.percents, self.amounts)
        return list(zip(figures, distributions, strict=True))


@dataclass(frozen=True, slots=True)
class TableCosts:
    """The costs of an exit table, first the one that committees are charged in."""

    every: Sequence[TableCost]

    @classmethod
    def of(cls, tables: Sequence[tuple[CostModel, NDArray[np.int64]]], detail: CostDetail) -> TableCosts:
        """tables : cost models with their cumulative costs."""
        every = []
        for number, (charges, cost) in enumerate(tables):
            varies = cost.ndim > 1 and bool(np.ptp(cost, axis=1).any())
            amounts = tuple(amount for name, amount in detail.amounts if name == charges.name)
            every.append(TableCost(charges, cost, detail.percents_of(varies=varies, own=not number), amounts))
        return cls(every)

    @property
    def vary(self) -> bool:
        """Whether some cost depends on the unit, not on its row alone."""
        return any(each.cost.ndim > 1 for each in self.every)

    def counted(self, exits: NDArray[np.int64]) -> list[CostFigures]:
        """The figures of n committees of whose units so many exit in each row, int64 [n, R]."""
        columns = {each.charges.name: each.figures(each.cost, exits) for each in self.every}
        return [_named({name: column[n] for name, column in columns.items()}) for n in range(len(exits))]

    def paid(self, row: NDArray[np.int64]) -> CostFigures:
        """The figures of a committee whose units exit in these rows, int64 [N]."""
        made = {}
        for each in self.every:
            if each.cost.ndim == 1:
                pair = each.figures(each.cost, np.bincount(row, minlength=len(each.cost))[None])
            else:
                pair = each.figures(each.cost[row, np.arange(len(row))], np.ones((1, len(row)), np.int64))
            made[each.charges.name] = pair[0]
        return _named(made)


def _named(made: Mapping[str, tuple[Cost, Distribution]]) -> CostFigures:
    figures = {name: cost for name, (cost, _) in made.items()}
    return CostFigures(figures, {name: distribution for name, (_, distribution) in made.items() if distribution})
