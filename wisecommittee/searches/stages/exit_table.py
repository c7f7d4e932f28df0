"""The exit table of one committee: score, statistics and cumulative cost of K stages x N units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.committees.policy import Route
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables, tables_for


@dataclass(frozen=True, slots=True)
class ExitTable:
    """One committee over N units, ready to be evaluated: a row for each of its routes (committees/policy.py).

    Row k of a cascade that runs its stages in order is the state after stages 0..k, so R = K.

    Parameters
    ----------
    score : float32 [R, N]
        Confidence, higher exits earlier; rows of routes that end with the last stage are never compared.
    stats : int32 [R, N, S]
        Additive statistics of the prediction.
    cost : int64 [R] or [R, N]
        Integer cost of the stages of the route (times CostModel.unit).
    routes : tuple of tuples of int
        The stages that units in row r have run.
    prediction : integer class or text [R, N]
        None if only figures are wanted.
    further : tuple of (CostModel, int64 [R])
        Every other cost.
    members : {model: integer class or text [N]}
        Prediction of each member by itself, for policies that need it.
    unit_ids : text [N]
        For policies that need them.
    """

    score: NDArray[np.float32]
    stats: NDArray[np.int32]
    cost: NDArray[np.int64]
    routes: tuple[Route, ...]
    prediction: NDArray[np.generic] | None = None
    further: tuple[tuple[CostModel, NDArray[np.int64]], ...] = ()
    members: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    unit_ids: NDArray[np.generic] | None = None

    @property
    def units(self) -> int:
        return self.score.shape[1]


def exit_table(tables: StageTables, committee: Committee, *, score_last: bool = False) -> ExitTable:
    """The exit table of a committee of pool models, from stage tables that hold all its prefixes (prefix_tables).

    score_last : with the confidence after the last stage, which is never compared.
    """
    pool, needs = tables.pool, committee.policy.needs
    table = assemble(tables, stage_indices(pool, committee), committee.routes, score_last=score_last)
    if "members" in needs:
        assert tables.prediction is not None, "the stage tables of this policy need predict=True"
        nodes = {model: tables.node((pool.index(model),)) for model in committee.models}
        table = replace(table, members={model: tables.prediction[node] for model, node in nodes.items()})
    if "unit_ids" in needs:
        table = replace(table, unit_ids=pool.unit_ids())
    return table


def assemble(
    tables: StageTables,
    stages: Sequence[Sequence[int]],
    routes: Sequence[Route] | None = None,
    *,
    score_last: bool = False,
) -> ExitTable:
    """The exit table of these stages, each of one or several tiers, from stage tables that hold all its prefixes.

    routes : by default the stages run in order.
    """
    pool = tables.pool
    routes = tuple(tuple(range(k + 1)) for k in range(len(stages))) if routes is None else tuple(routes)
    combinations = routed(stages, routes)
    nodes = tables.nodes(combinations)
    if pool.task.width > 1:
        newest = [pool.stored(pool.members(combination)[-1]) for combination in combinations]
        stats = np.stack([pool.task.statistics(pool.task.read(model), pool.labels) for model in newest])
    else:
        stats = tables.correct.rows(nodes).astype(np.int32)[:, :, None]
    prediction = None if tables.prediction is None else tables.prediction[nodes]
    further = tuple((charges, _route_costs(charges, stages, routes)) for charges in pool.further)
    compared = [
        combination if score_last or route[-1] < len(stages) - 1 else None
        for route, combination in zip(routes, combinations, strict=True)
    ]
    score, cost = scores(tables, compared), _route_costs(pool.cost, stages, routes)
    return ExitTable(score, stats, cost, routes, prediction, further)


def _route_costs(charges: CostModel, stages: Sequence[Sequence[int]], routes: Sequence[Route]) -> NDArray[np.int64]:
    """int64 [R] or [R, N]: the cost of the stages of each route together, which is that of the union of their
    blocks."""
    if len(routes) == len(stages) and len(routes[-1]) == len(stages):
        return charges.stages(stages)  # each route adds a stage to the one before
    return np.stack([charges.stages([stages[k] for k in route])[-1] for route in routes])


def scores(tables: StageTables, combinations: Sequence[Sequence[int] | None]) -> NDArray[np.float32]:
    """float32 [n, N] confidences after these combinations of tiers; 0 for None and for confidences that are never
    compared."""
    score = np.zeros((len(combinations), tables.pool.units), np.float32)
    for k, combination in enumerate(combinations):
        row = -1 if combination is None else tables.row(combination)
        if row >= 0:  # the prefixes of an ensemble are never compared
            score[k] = tables.score[row]
    return score


def routed(stages: Sequence[Sequence[int]], routes: Sequence[Route]) -> list[tuple[int, ...]]:
    """The tiers that have run after each route."""
    return [tuple(step for k in route for step in stages[k]) for route in routes]


def committee_tables(
    pool: Pool, committees: Sequence[Committee], *, predict: bool = False, score_last: bool = False, threads: int = 1
) -> list[ExitTable]:
    """Exit tables of committees of pool members, straight from the stored outputs, in one pass over them."""
    tables = prefix_tables(pool, committees, predict=predict, score_last=score_last, threads=threads)
    return [exit_table(tables, committee, score_last=score_last) for committee in committees]


def prefix_tables(
    pool: Pool, committees: Sequence[Committee], *, predict: bool = False, score_last: bool = False, threads: int = 1
) -> StageTables:
    """Stage tables of every route of these committees, and of the members that their policies need by themselves.

    predict : with predictions (policies that need them get them anyway); score_last : with confidences after the last
    stage.
    """
    combinations: list[tuple[int, ...]] = []
    compared: list[tuple[int, ...]] = []
    for committee in committees:
        stages, needs = stage_indices(pool, committee), committee.policy.needs
        predict = predict or bool(needs & {"prediction", "members"})
        for route, combination in zip(committee.routes, routed(stages, committee.routes), strict=True):
            combinations.append(combination)
            if score_last or route[-1] < len(stages) - 1:
                compared.append(combination)
        if "members" in needs:
            combinations += [(model,) for stage in stages for model in stage]
    return tables_for(pool, combinations, compared=compared, predict=predict, threads=threads)


def stage_indices(pool: Pool, committee: Committee) -> list[list[int]]:
    """The stages of a committee as indices of models."""
    try:
        return [[pool.index(model) for model in stage] for stage in committee.stages]
    except StopIteration:
        raise CommitteeError(f"{committee.label()}: not all of its members are in the pool") from None
