"""The cost of each unit, as an evaluation charges it: of the members that it has run, and of its policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.runtime.decisions import Decisions


class Charges:
    """Charges the units of a committee for the stages that they have run."""

    def __init__(self, committee: Committee) -> None:
        self.committee = committee
        self._costs: dict[tuple[int, frozenset[int]], float | None] = {}  # by part of a mixture, and stages
        for number, part in enumerate(committee.parts):
            for route, cost in committee.stage_costs(number).items():
                stages = committee.policy.in_stages(part, route) if isinstance(committee.policy, Mixing) else route
                self._costs[number, frozenset(stages)] = cost

    def __call__(self, decisions: Decisions, unit_ids: Sequence[str] | None) -> NDArray[np.float64] | None:
        """float64 [n]: the cost of each unit; None where it varies per unit and no member says it, or is not recorded.

        unit_ids : text [n]; read where the committee is a mixture.
        """
        policy, name = self.committee.policy, self.committee.cost
        part = np.zeros(len(decisions), np.int64)
        if isinstance(policy, Mixing):
            part = policy.drawn(np.array(unit_ids, np.str_))
        if name in decisions.costs:
            fees = np.array([each.policy.fee(name) for each in self.committee.parts])
            return decisions.costs[name] + fees[part]
        routes, route = np.unique(np.column_stack([part, decisions.ran]), axis=0, return_inverse=True)
        costs = [self._costs.get((int(first), frozenset(np.flatnonzero(ran).tolist()))) for first, *ran in routes]
        if None in costs:
            return None
        return np.array(costs, np.float64)[route.ravel()]
