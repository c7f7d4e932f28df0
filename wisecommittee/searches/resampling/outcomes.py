"""What a committee gives and costs on each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.exits import answered_units, exits_of, statistics_of, table_key
from wisecommittee.searches.stages.exit_table import exit_table
from wisecommittee.searches.stages.stage_tables import StageTables


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The results of a committee on n units.

    Parameters
    ----------
    statistics : int32 [n, S]
        Of the prediction at the stage where a unit exits.
    cost : int64 [n]
        Integer cost up to that stage, in units of the pool's cost model.
    answered : bool [n] or None
        Which units get an answer; None for a committee that always answers.
    """

    statistics: NDArray[np.int32]
    cost: NDArray[np.int64]
    answered: NDArray[np.bool_] | None = None

    @classmethod
    def joined(cls, parts: Sequence[Outcomes], places: Sequence[NDArray[np.int64]]) -> Outcomes:
        """The outcomes of parts of the units, put at their places int64 [n] among all units."""
        units, width = sum(map(len, places)), parts[0].statistics.shape[1]
        given = None if parts[0].answered is None else np.empty(units, np.bool_)
        out = cls(np.empty((units, width), np.int32), np.empty(units, np.int64), given)
        for part, place in zip(parts, places, strict=True):
            out.statistics[place], out.cost[place] = part.statistics, part.cost
            if given is not None and part.answered is not None:
                given[place] = part.answered
        return out


def outcomes_of(tables: StageTables, committees: Sequence[Committee]) -> list[Outcomes]:
    """The outcomes of committees whose prefixes are all in the tables, on the units of the tables."""
    alike: dict[object, list[int]] = {}
    for index, committee in enumerate(committees):
        alike.setdefault(table_key(committee), []).append(index)
    out: dict[int, Outcomes] = {}
    units = np.arange(tables.pool.units)
    for indices in alike.values():
        same = [committees[index] for index in indices]
        table = exit_table(tables, same[0])
        for index, each in zip(indices, exits_of(table, same), strict=True):
            cost = table.cost[each.row] if table.cost.ndim == 1 else table.cost[each.row, units]
            answered = answered_units(committees[index], each)
            out[index] = Outcomes(statistics_of(table, tables.pool.task, each), cost, answered)
    return [out[index] for index in range(len(committees))]
