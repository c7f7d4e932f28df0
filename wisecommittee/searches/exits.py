"""Where every unit of an exit table exits: the walk of a committee over stored outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policy import Route, State, Thresholds
from wisecommittee.committees.threshold_vectors import carried_vectors, exit_stages
from wisecommittee.committees.walk import walk
from wisecommittee.searches.stages.exit_table import ExitTable


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Units of an exit table (indices, int64 [n]) as a batch of a walk: no model runs, stages are looked up in the
    table."""

    table: ExitTable
    committee: Committee
    units: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.units)

    def only(self, rows: NDArray[np.int64]) -> StoredBatch:
        return replace(self, units=self.units[rows])

    def run(self, route: Route) -> State:
        table, stages, needs = self.table, self.committee.stages, self.committee.policy.needs
        rows = np.array([table.routes.index(route[: n + 1]) for n in range(len(route))], np.int64)
        known = table.prediction if "prediction" in needs and route else None
        return State(
            route,
            len(stages),
            table.score[rows[:, None], self.units],
            scale_of(self.committee.confidence),
            None if known is None else known[rows[-1], self.units],
            {model: table.members[model][self.units] for k in route for model in stages[k]} if table.members else {},
            None if table.unit_ids is None else table.unit_ids[self.units],
        )


def exit_rows(table: ExitTable, committee: Committee) -> NDArray[np.int64]:
    """int64 [N]: the row of the table whose stages each unit has run when it exits."""
    out = np.empty(table.units, np.int64)
    for route, batch, rows in walk(committee, StoredBatch(table, committee, np.arange(table.units))):
        out[batch.units[rows]] = table.routes.index(route)
    return out


def exit_rows_of(table: ExitTable, committees: Sequence[Committee]) -> Iterator[NDArray[np.int64]]:
    """`exit_rows` of committees with the same stages, routes and confidence; faster for threshold vectors."""
    if all_thresholds(committees):
        yield from exit_stages(table.score, vectors_of(committees))
    else:
        for committee in committees:
            yield exit_rows(table, committee)


def all_thresholds(committees: Sequence[Committee]) -> bool:
    return all(isinstance(committee.policy, Thresholds) for committee in committees)


def vectors_of(committees: Sequence[Committee]) -> NDArray[np.float32]:
    """float32 [n, K - 1]: the thresholds of committees with the same stages and confidence, as they are carried."""
    policies = [cast(Thresholds, committee.policy) for committee in committees]
    return carried_vectors(policies, committees[0].confidence)
