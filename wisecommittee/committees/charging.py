"""The cost of every route of a committee, from the committee alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from wisecommittee.committees.fields import check_cost, shown
from wisecommittee.committees.policy import Route
from wisecommittee.errors import CommitteeError, CostError

if TYPE_CHECKING:
    from wisecommittee.committees.committee import Committee

RecordedCost = float | Mapping[str, float] | None  # {model: cost} of counts of pixels, which stand for several models


def stage_costs(committee: Committee, part: int = 0) -> dict[Route, float | None]:
    """What a unit costs that exits after each route; as of `Committee.stage_costs`."""
    from wisecommittee.committees.cost import of_blocks

    chosen, name = committee.parts[part], committee.cost
    charges = {model: _blocks(committee, model) for model in chosen.models}
    known = [each or {} for each in charges.values()]
    if None in charges.values():  # a cost that varies per unit adds up over members, whatever blocks they share
        known = [{model: float(sum(each.values()))} for model, each in zip(charges, known, strict=True)]
    fee = chosen.policy.fee(name)
    model = replace(of_blocks(name, known, 1, committee.stage_overhead), parallel=name in committee.parallel).finer(
        fee, 1
    )
    place = {member: number for number, member in enumerate(charges)}
    costs: dict[Route, float | None] = {}
    for route in chosen.routes:
        stages = [chosen.stages[k] for k in route]
        costs[route] = None
        if all(charges[member] is not None for stage in stages for member in stage):
            total = model.stages([[place[member] for member in stage] for stage in stages])[-1]
            costs[route] = model.true(int(total) + model.integer(fee))
    return costs


def _blocks(committee: Committee, model: str) -> Mapping[str, float] | None:
    """{block: cost} of a member; None where its cost varies per unit, or is not recorded."""
    if model in committee.costs:
        cost = committee.costs[model]
        return cost if cost is None or isinstance(cost, Mapping) else {f"{model}\0": cost}
    blocks = committee.members.get(model, {}).get("blocks") if committee.cost == "flops" else None
    return blocks or None


def member_cost(committee: Committee, model: str) -> float | None:
    """What a member costs for a unit by itself, in the committee's cost; None where that varies, or is not recorded."""
    blocks = _blocks(committee, model)
    return None if blocks is None else float(sum(blocks.values()))


def costs_from_json(costs: object) -> Mapping[str, RecordedCost]:
    """The field `costs` of a committee.json; CommitteeError for anything else."""
    if not isinstance(costs, dict):
        raise CommitteeError(f'committee: "costs" is {shown(costs)}; expected an object of costs, {{"b3/0": 0.002}}')
    for model, cost in costs.items():
        several = cost if isinstance(cost, dict) else {model: cost}
        for name, value in several.items():
            try:
                if value is not None or isinstance(cost, dict):
                    check_cost(value, f"the cost of {name!r}", free=True)
            except CostError as error:
                raise CommitteeError(f"committee: {error}") from error
    return costs


def overhead_from_json(value: object) -> float:
    """The field `stage_overhead` of a committee.json; CommitteeError for anything else."""
    try:
        check_cost(value, "the cost of a stage beside its members", free=True)
    except CostError as error:
        raise CommitteeError(f"committee: {error}") from error
    return float(value)  # type: ignore[arg-type]
