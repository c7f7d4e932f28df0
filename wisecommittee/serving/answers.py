"""Decisions as the body of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.runtime.decisions import Decisions


def answer(committee: Committee, decisions: Decisions, unit_ids: Sequence[str] | None) -> dict[str, Any]:
    """{"units": [one for each unit], "cost": name of the cost}, JSON values.

    Each unit has "prediction" (class number or text; null without an answer), "class" (its name; null if unknown),
    "stage" (where it exits, from 1, as in `evaluate --units`), "confidence" and "cost" (null if unknown) and "members"
    (that ran, in the order of the stages), and its "unit_id" if the request named it.
    """
    units, cost = len(decisions), decisions.costs.get(committee.cost)
    routes, route = np.unique(decisions.ran, axis=0, return_inverse=True)
    members = [
        [name for names, has_run in zip(committee.stages, ran, strict=True) if has_run for name in names]
        for ran in routes
    ]
    is_class = decisions.prediction.dtype.kind != "U"
    columns: dict[str, list[Any]] = {} if unit_ids is None else {"unit_id": list(unit_ids)}
    columns |= {
        "prediction": [None if p in (NO_CLASS, NO_TEXT) else p for p in decisions.prediction.tolist()],
        "class": [name or None for name in decisions.names] if is_class and decisions.classes else [None] * units,
        "stage": (decisions.stage + 1).tolist(),
        "confidence": [None] * units if decisions.confidence is None else decisions.confidence.tolist(),
        "cost": [None] * units if cost is None else cost.tolist(),
        "members": [members[number] for number in route.ravel()],
    }
    rows = zip(*columns.values(), strict=True)
    return {"units": [dict(zip(columns, row, strict=True)) for row in rows], "cost": committee.cost}
