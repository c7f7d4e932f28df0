"""The exit table of one committee: score, statistics and cumulative cost of K stages x N units."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import Route, following
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
        Confidence, higher exits earlier; rows of routes that no other continues are never compared.
    stats : int32 [R, N, S]
        Additive statistics of the prediction of the combination.
    cost : int64 [R] or [R, N]
        Integer cost of the stages of the route (times CostModel.unit).
    routes : tuple of tuples of int
        The stages that units in row r have run.
    prediction : integer class or text [R, N]
        Of the combination; None if only figures are wanted.
    further : tuple of (CostModel, int64 [R])
        Every other cost.
    members : {model: integer class or text [N]}
        Prediction of each member by itself, for policies that need it.
    member_scores : {model: float32 [N]}
        Confidence of each member by itself, for policies that need it.
    member_stats : {model: int32 [N]}
        Statistic of each member's prediction, for policies that answer with one of them where these alone are graded.
    outputs : {model: float32 [N, C]}
        Logarithms of the probabilities of each member, for policies that need them.
    unit_ids : text [N]
        For policies that need them.
    features : {column: float64 or text [N]}
        For policies that need them.
    labels : integer class or text [N]
        For policies that answer themselves.
    parts : tuple of ExitTable
        Of the parts of a mixture, whose rows follow each other in the table of the mixture.
    """

    score: NDArray[np.float32]
    stats: NDArray[np.int32]
    cost: NDArray[np.int64]
    routes: tuple[Route, ...]
    prediction: NDArray[np.generic] | None = None
    further: tuple[tuple[CostModel, NDArray[np.int64]], ...] = ()
    members: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    member_scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    member_stats: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    outputs: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    unit_ids: NDArray[np.generic] | None = None
    features: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    labels: NDArray[np.generic] | None = None
    parts: tuple[ExitTable, ...] = ()
    row_of: Mapping[Route, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "row_of", {route: row for row, route in enumerate(self.routes)})

    @property
    def units(self) -> int:
        return self.score.shape[1]


def exit_table(tables: StageTables, committee: Committee, *, score_last: bool = False) -> ExitTable:
    """The exit table of a committee of pool models, from stage tables that hold all its prefixes (prefix_tables).

    score_last : with the confidence after the last stage, which is never compared.
    """
    pool, policy = tables.pool, committee.policy
    if isinstance(policy, Mixing):
        parts = [exit_table(tables, part, score_last=score_last) for part in committee.parts]
        return _stacked(pool, committee, policy, parts)
    stages, needs = stage_indices(pool, committee), committee.policy.needs
    if _combined(committee):
        score_last = score_last or "last_score" in needs
        continued = following(committee.routes, unordered=policy.unordered)
        table = assemble(tables, stages, committee.routes, committee.routes if score_last else continued)
    else:
        table = _costs_alone(tables, stages, committee.routes)
    every = {model: pool.index(model) for model in committee.models}
    if "members" in needs:
        assert tables.prediction is not None, "the stage tables of this policy need predict=True"
        table = replace(table, members={m: tables.prediction[tables.node((i,))] for m, i in every.items()})
        if policy.answers and not pool.task.exact_match:
            alone = tables.correct.rows(tables.nodes([(i,) for i in every.values()])).astype(np.int32)
            table = replace(table, member_stats=dict(zip(every, alone, strict=True)))
    if "member_scores" in needs:
        table = replace(table, member_scores={m: tables.score[tables.row((i,))] for m, i in every.items()})
    if "outputs" in needs:
        table = replace(table, outputs={m: pool.log_probabilities(i) for m, i in every.items()})
    if "unit_ids" in needs:
        table = replace(table, unit_ids=pool.unit_ids())
    if "features" in needs:
        table = replace(table, features=pool.features())
    if fee := policy.fee(pool.cost.name):
        table = replace(table, cost=table.cost + pool.cost.integer(fee))
    return replace(table, labels=pool.labels) if policy.answers else table


def _stacked(pool: Pool, committee: Committee, policy: Mixing, parts: Sequence[ExitTable]) -> ExitTable:
    """The exit table of a mixture: the rows of its parts, one part after the other."""
    named = zip(policy.parts, parts, strict=True)
    routes = tuple(policy.in_stages(part, route) for part, table in named for route in table.routes)
    predictions = [table.prediction for table in parts if table.prediction is not None]
    return ExitTable(
        np.concatenate([table.score for table in parts]),
        np.concatenate([table.stats for table in parts]),
        np.concatenate([table.cost for table in parts]),
        routes,
        np.concatenate(predictions) if len(predictions) == len(parts) else None,
        tuple(
            (first, np.concatenate([table.further[i][1] for table in parts]))
            for i, (first, _) in enumerate(parts[0].further)
        ),
        unit_ids=pool.unit_ids(),
        labels=pool.labels if committee.answers else None,
        parts=tuple(parts),
    )


def _combined(committee: Committee) -> bool:
    """Whether the combination of the members of each route is read, or answers."""
    return committee.policy.combines or not committee.policy.answers


def _costs_alone(tables: StageTables, stages: Sequence[Sequence[int]], routes: Sequence[Route]) -> ExitTable:
    """An exit table without scores and statistics of combinations: they are 0."""
    pool = tables.pool
    shape = (len(routes), pool.units)
    further = tuple((charges, _route_costs(charges, stages, routes)) for charges in pool.further)
    return ExitTable(
        np.broadcast_to(np.float32(0), shape),
        np.broadcast_to(np.int32(0), (*shape, pool.task.width)),
        _route_costs(pool.cost, stages, routes),
        tuple(routes),
        further=further,
    )


def assemble(
    tables: StageTables,
    stages: Sequence[Sequence[int]],
    routes: Sequence[Route] | None = None,
    compared: Container[Route] | None = None,
) -> ExitTable:
    """The exit table of these stages, each of one or several tiers, from stage tables that hold all its prefixes.

    routes : by default the stages run in order. compared : the routes whose confidence is read; by default all but the
    last.
    """
    pool = tables.pool
    routes = tuple(tuple(range(k + 1)) for k in range(len(stages))) if routes is None else tuple(routes)
    compared = routes[:-1] if compared is None else compared
    combinations = routed(stages, routes)
    nodes = tables.nodes(combinations)
    if pool.task.width > 1:
        newest = [pool.stored(pool.members(combination)[-1]) for combination in combinations]
        stats = np.stack([pool.task.statistics(pool.task.read(model), pool.labels) for model in newest])
    else:
        stats = tables.correct.rows(nodes).astype(np.int32)[:, :, None]
    prediction = None if tables.prediction is None else tables.prediction[nodes]
    further = tuple((charges, _route_costs(charges, stages, routes)) for charges in pool.further)
    rows = [combination if route in compared else None for route, combination in zip(routes, combinations, strict=True)]
    score, cost = scores(tables, rows), _route_costs(pool.cost, stages, routes)
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
    predict = predict or any(len(committee.parts) > 1 and committee.answers for committee in committees)
    parts = [part for committee in committees for part in committee.parts]
    for committee in parts:
        stages, needs = stage_indices(pool, committee), committee.policy.needs
        predict = predict or bool(needs & {"prediction", "members"})
        if _combined(committee):
            continued = following(committee.routes, unordered=committee.policy.unordered)
            for route, combination in zip(committee.routes, routed(stages, committee.routes), strict=True):
                combinations.append(combination)
                if score_last or "last_score" in needs or route in continued:
                    compared.append(combination)
        alone = [(model,) for stage in stages for model in stage]
        if "members" in needs or not _combined(committee):
            combinations += alone
        if "member_scores" in needs:
            compared += alone
    return tables_for(pool, combinations, compared=compared, predict=predict, threads=threads)


def stage_indices(pool: Pool, committee: Committee) -> list[list[int]]:
    """The stages of a committee as indices of models."""
    try:
        return [[pool.index(model) for model in stage] for stage in committee.stages]
    except StopIteration:
        raise CommitteeError(f"{committee.label()}: not all of its members are in the pool") from None
