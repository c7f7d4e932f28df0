"""How the costs of the units of a split are distributed: percentiles, and shares of units above an amount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import CostModel
from wisecommittee.searches.file_checks import number, share
from wisecommittee.searches.percentile import named, percent_of, percentiles
from wisecommittee.searches.query import Query

USUAL = (50.0, 90.0, 99.0)  # percentiles of every cost that varies per unit


@dataclass(frozen=True, slots=True)
class CostDetail:
    """What evaluations say of the distribution of costs beside the usual percentiles of costs that vary per unit.

    percents : of the committee's cost, ascending
    amounts : {cost: amounts}, above which shares of units are counted
    """

    percents: tuple[float, ...] = ()
    amounts: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, query: Query) -> CostDetail:
        """What a query asks for, by its axis and its limits; of a query whose defaults are filled in."""
        percents = {percent_of(query.axis)} - {None, 99.0}
        if query.max_percentile_cost is not None:
            percents.add(float(query.max_percentile_cost[0]))
        amounts = [
            (each.about(str(query.cost)), float(each.limit or 0.0))
            for each in query.limits()
            if each.figure == "exceeding"
        ]
        return cls(tuple(sorted(p for p in percents if p is not None)), tuple(dict.fromkeys(amounts)))

    def percents_of(self, *, varies: bool, own: bool) -> tuple[float, ...]:
        """The percentiles to report of a cost. varies : whether it varies per unit; own : whether it is the
        committee's."""
        return tuple(sorted({*(USUAL if varies else ()), *(self.percents if own else ())}))


NO_DETAIL = CostDetail()


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of the costs of the units of a split, in units of the cost.

    percentiles : (percent, the least cost that so many percent of the units do not exceed), ascending
    exceeding : (amount, the share of the units that cost more)
    """

    percentiles: tuple[tuple[float, float], ...] = ()
    exceeding: tuple[tuple[float, float], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.percentiles or self.exceeding)

    @classmethod
    def of(
        cls,
        charges: CostModel,
        costs: NDArray[np.int64],
        units: NDArray[np.int64],
        percents: Sequence[float],
        amounts: Sequence[float],
    ) -> list[Distribution]:
        """These percentiles, and shares of units above these amounts, of n committees.

        charges, costs [m], units [n, m] : as of Cost.of
        """
        total, rows = int(units[0].sum()), range(len(units))
        at: list[tuple[float, list[float]]] = []
        for percent in percents:
            values = percentiles(costs, units, percent)
            at.append((percent, [charges.true(value) for value in values.tolist()]))
        over: list[tuple[float, list[float]]] = []
        for amount in amounts:
            counts = units[:, costs > charges.ceiling(amount)].sum(axis=1)
            over.append((amount, (counts / total).tolist()))
        return [cls(tuple((p, v[n]) for p, v in at), tuple((a, v[n]) for a, v in over)) for n in rows]

    def to_json(self) -> dict[str, list[list[float]]]:
        """As a file of a frontier has it: {"percentiles": [[99.0, 0.01], ..], "exceeding": [[0.01, 0.2], ..]}."""
        return {"percentiles": [list(p) for p in self.percentiles], "exceeding": [list(p) for p in self.exceeding]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Distribution:
        """From what `to_json` gives; ValueError for anything else."""
        at = [(number(a, "a percentile"), number(b, "a percentile")) for a, b in value["percentiles"]]
        over = [(number(a, "an amount"), share(b, "a share of units")) for a, b in value["exceeding"]]
        return cls(tuple(at), tuple(over))

    def percentiles_json(self) -> dict[str, float]:
        """{"p50": .., "p90": .., "p99": ..}"""
        return {named(percent): value for percent, value in self.percentiles}
