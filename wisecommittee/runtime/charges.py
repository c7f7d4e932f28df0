"""What units have cost: by committee.json, and by what members reported of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.charging import member_cost
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import Route
from wisecommittee.runtime.ran import Ran


@dataclass(frozen=True, slots=True)
class Charges:
    """The costs of a committee.

    Parameters
    ----------
    committee : Committee
    routes : tuple of {route: float or None}
        For each part of a mixture, or for the committee alone: what a unit costs that exits after a route, in the
        committee's cost; None where committee.json does not say.
    """

    committee: Committee
    routes: tuple[Mapping[Route, float | None], ...]

    @classmethod
    def of(cls, committee: Committee) -> Self:
        return cls(committee, tuple(committee.stage_costs(part) for part in range(len(committee.parts))))

    def paid(self, part: Committee, route: Route, ran: Mapping[str, Ran], units: int) -> dict[str, NDArray[np.float64]]:
        """{cost: float64 [n]}: what n units cost that exit after a route of a part.

        The committee's cost is that of committee.json, NaN where it does not say, unless members reported theirs.
        """
        own = self.committee.cost
        reported = dict.fromkeys(cost for each in ran.values() for cost in each.costs)
        out = {cost: self._reported(cost, part, route, ran, units) for cost in reported}
        number = next(i for i, each in enumerate(self.committee.parts) if each is part)
        known = self.routes[number].get(route)
        if own not in out and any(value is not None for value in self.routes[number].values()):
            if route not in self.routes[number]:  # taken because members failed
                out[own] = self._reported(own, part, route, ran, units)
            else:
                out[own] = np.full(units, np.nan if known is None else known)
        return out

    def _reported(
        self, cost: str, part: Committee, route: Route, ran: Mapping[str, Ran], units: int
    ) -> NDArray[np.float64]:
        """float64 [n]: the sum over stages of what members reported; of the committee's cost, what committee.json says
        of those that reported nothing, and what stages and the policy cost beside their members."""
        whole, own = self.committee, cost == self.committee.cost
        total = np.full(units, part.policy.fee(cost) if own else 0.0)
        for stage in route:
            each = [self._of_member(cost, name, ran[name], units) for name in part.stages[stage]]
            together = np.max(each, axis=0) if cost in whole.parallel else np.sum(each, axis=0)
            total += together + (whole.stage_overhead if own else 0.0)
        return total

    def _of_member(self, cost: str, name: str, ran: Ran, units: int) -> NDArray[np.float64]:
        if cost in ran.costs:
            return ran.costs[cost]
        known = member_cost(self.committee, name) if cost == self.committee.cost else 0.0
        return np.full(units, np.nan if known is None else known)
