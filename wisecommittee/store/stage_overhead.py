"""stage_overhead.json of a store: what every stage of a committee costs beside its members, as it was measured once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wisecommittee.committees.fields import check_cost, checked_object, typed
from wisecommittee.errors import CostError, StoreError
from wisecommittee.reading import parse_json
from wisecommittee.store.layout import OVERHEAD

VERSION = 1
REMEDY = "measure it again with `wisecommittee bench-models`, or remove the file"


@dataclass(frozen=True, slots=True)
class StageOverhead:
    """What a stage costs for each unit that runs it, beside its members.

    Parameters
    ----------
    costs : {name: float}
        By the name of the cost: latency_ms of a unit by itself, batch_ms of a unit in batches. Costs without an entry
        have no overhead.
    conditions : {name: JSON value}
        How it was measured: device, threads, torch, batch_size, input_shape, classes, quartiles.
    """

    costs: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.costs.items():
            check_cost(value, f"overhead of a stage in {name}")

    def to_json(self) -> dict[str, Any]:
        return {"costs": dict(self.costs), "conditions": dict(self.conditions)}


NO_OVERHEAD = StageOverhead()


def encode_overhead(overhead: StageOverhead) -> bytes:
    return json.dumps({"version": VERSION, **overhead.to_json()}, indent=1, allow_nan=False).encode() + b"\n"


def decode_overhead(data: bytes, what: str) -> StageOverhead:
    """The overhead in a stage_overhead.json; StoreError says what is wrong with it."""
    try:
        value = checked_object(parse_json(data), OVERHEAD, VERSION, {"costs", "conditions"}, {"costs"}, StoreError)
        costs, conditions = (typed(value, name, (dict,), StoreError) for name in ("costs", "conditions"))
        return StageOverhead(costs or {}, conditions or {})
    except (CostError, StoreError, ValueError) as error:
        raise StoreError(f"{what}: {error}; {REMEDY}") from error
