"""Fields of the file of a policy (policy_file.py): CommitteeError names the one that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wisecommittee.committees.fields import listed, shown, typed
from wisecommittee.errors import CommitteeError

CLAIMS = {"accuracy", "quality", "average_cost", "cost"}


def refuse_unknown(data: Mapping[str, Any], known: set[str], what: str) -> None:
    if unknown := sorted(set(data) - known):
        raise CommitteeError(f"{what}: unknown field {listed(unknown)}; known: {', '.join(sorted(known))}")


def listed_field(data: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = data.get(name, [])
    if not isinstance(value, list):
        raise CommitteeError(f'policy: "{name}" is {shown(value)}; expected a list')
    return value


def number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 3.4e38:
        raise CommitteeError(f"policy: {what} is {shown(value)}; expected a finite number")
    return float(value)


def claims(claimed: Any) -> dict[str, Any]:
    """{"quality", "average_cost", "cost"}, each None where there is no such claim."""
    if claimed is None:
        claimed = {}
    if not isinstance(claimed, dict):
        raise CommitteeError(f'policy: "claimed" is {shown(claimed)}; expected an object')
    refuse_unknown(claimed, CLAIMS, 'policy: "claimed"')
    if "accuracy" in claimed and "quality" in claimed:
        raise CommitteeError('policy: "accuracy" and "quality" are two names of one claim; leave one out')
    quality, cost = claimed.get("accuracy", claimed.get("quality")), claimed.get("average_cost")
    if quality is not None and not 0 <= (quality := number(quality, "the claimed accuracy")) <= 1:
        raise CommitteeError(f"policy: the claimed accuracy is {quality:g}; expected a share in [0, 1], such as 0.95")
    if cost is not None and (cost := number(cost, "the claimed average cost")) < 0:
        raise CommitteeError(f"policy: the claimed average cost is {cost:g}; expected a number from 0")
    return {"quality": quality, "average_cost": cost, "cost": typed(claimed, "cost", (str,), CommitteeError)}
