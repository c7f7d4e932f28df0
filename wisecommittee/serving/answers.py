"""Decisions as the body of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.runtime.decisions import Decisions


def answer(committee: Committee, decisions: Decisions, unit_ids: Sequence[str] | None) -> dict[str, Any]:
    """{"units": [one for each unit], "cost": name of the cost}, JSON values.

    Each unit has "prediction" (class number or text; null without an answer), "class" (its name; null if unknown),
    "stage" (where it exits, from 1, as in `evaluate --units`), "confidence" and "cost" (null if unknown) and "members"
    (that ran, in the order of the stages), and its "unit_id" if the request named it.
    """
    said, unknown = decisions.to_json(), [None] * len(decisions)
    routes, route = np.unique(decisions.ran, axis=0, return_inverse=True)
    members = [
        [name for names, has_run in zip(committee.stages, ran, strict=True) if has_run for name in names]
        for ran in routes
    ]
    columns: dict[str, list[Any]] = {} if unit_ids is None else {"unit_id": list(unit_ids)}
    columns |= {
        "prediction": said["prediction"],
        "class": said["class"] or unknown,
        "stage": said["stage"],
        "confidence": said["confidence"] or unknown,
        "cost": said["costs"].get(committee.cost, unknown),
        "members": [members[number] for number in route.ravel()],
    }
    rows = zip(*columns.values(), strict=True)
    return {"units": [dict(zip(columns, row, strict=True)) for row in rows], "cost": committee.cost}
