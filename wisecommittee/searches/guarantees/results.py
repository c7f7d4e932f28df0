"""What committees predict and cost on each unit of a part of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.searches.exits import exits, predictions_of, statistics_of
from wisecommittee.searches.stages.exit_table import ExitTable, exit_table, prefix_tables
from wisecommittee.searches.stages.pool import Pool


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What n units cost a committee, in units of the cost.

    values : float64 [n]. possible : the costs that a unit can have, ascending; empty if the cost varies per unit. Then
    the largest is unknown.
    """

    values: NDArray[np.float64]
    possible: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """What a committee predicts and costs on n units.

    worth : float64 [n] in [0, 1], how right each prediction is; prediction : [n]; costs : by name.
    """

    committee: Committee
    worth: NDArray[np.float64]
    prediction: NDArray[np.generic]
    costs: dict[str, UnitCosts]


def results_of(pool: Pool, committees: Sequence[Committee], threads: int) -> list[Results]:
    """The results of committees of the pool's models on the pool's units."""
    tables = prefix_tables(pool, committees, predict=True, threads=threads)
    return [_results(pool, exit_table(tables, committee), committee) for committee in committees]


def _results(pool: Pool, table: ExitTable, committee: Committee) -> Results:
    left = exits(table, committee)
    row, prediction = left.row, predictions_of(table, left)
    assert prediction is not None
    costs = {pool.cost.name: _costs(pool.cost, table.cost, row)}
    costs |= {charges.name: _costs(charges, cost, row) for charges, cost in table.further}
    worth = statistics_of(table, pool.task, left)[:, 0] / np.float64(pool.task.scale)
    return Results(committee, worth, prediction, costs)


def _costs(charges: CostModel, cost: NDArray[np.int64], row: NDArray[np.int64]) -> UnitCosts:
    if cost.ndim == 1:
        true = np.array([charges.true(int(each)) for each in cost])
        return UnitCosts(true[row], tuple(sorted(set(true.tolist()))))
    return UnitCosts(cost[row, np.arange(len(row))] * np.float64(charges.unit), ())


def calibration_hash(pool: Pool, models: Sequence[str]) -> str:
    """sha256 of the ids and labels of a pool's units and of the outputs of these models on them, 16 digits."""
    digest = hashlib.sha256("\0".join(map(str, pool.unit_ids().tolist())).encode())
    digest.update("\0".join(map(str, pool.labels.tolist())).encode())
    for model in sorted(models):
        stored = pool.stored(pool.index(model))
        digest.update(model.encode())
        if stored.kind == "answers":
            digest.update("\0".join(map(str, stored.predictions().tolist())).encode())
        else:
            digest.update(np.ascontiguousarray(stored.outputs(), np.float32).tobytes())
    return digest.hexdigest()[:16]
