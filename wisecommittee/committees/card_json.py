"""Reads a card.json into a StoredCard; a StoreError names the field that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.cards import CARD_VERSION, MAX_COUNT, Contents, PartFile, StoredCard
from wisecommittee.committees.fields import check_cost, checked_object, listed, shown, typed
from wisecommittee.committees.model_names import OLD_KINDS
from wisecommittee.errors import CostError, StoreError


def card_from_json(data: Any) -> StoredCard:
    """The card in a card.json that StoredCard.to_json wrote. StoredCard checks names and costs."""
    known, required = {f.name for f in fields(StoredCard)}, {"model", "contents"}
    data = checked_object(data, "card.json", CARD_VERSION, known, required, StoreError)
    try:
        numbers = {
            name: typed(data, name, (int,), StoreError) for name in ("params", "position", "replica") if name in data
        }
        texts = {
            name: typed(data, name, (str,), StoreError)
            for name in ("model", "architecture", "kind", "group", "origin", "weights")
            if name in data
        }
        if "kind" in texts:
            texts["kind"] = OLD_KINDS.get(texts["kind"], texts["kind"])
        objects = {name: typed(data, name, (dict,), StoreError) for name in ("blocks", "costs", "meta") if name in data}
        if not isinstance(data.get("replica_given", False), bool):
            raise StoreError(f"card.json: replica_given {str(data['replica_given'])[:100]}; expected true or false")
        if "replica" in numbers and numbers["replica"] is None:
            raise StoreError("card.json: 'replica' is None; expected a whole number from 0")
        size = data.get("input_size")
        names = typed(data, "class_names", (list,), StoreError)
        if names is not None and not all(isinstance(name, str) for name in names):
            raise StoreError(f"card.json: class_names {str(names)[:100]}; expected a list of text")
        _check_meta(objects.get("meta") or {}, texts.get("kind"))
        return StoredCard(
            **texts,
            **numbers,
            **objects,
            replica_given=data.get("replica_given", False),
            training_cost=typed(data, "training_cost", (int, float), StoreError),
            input_size=None if size is None else _sizes(size),
            class_names=None if names is None else tuple(names),
            contents=_contents_from_json(data["contents"]),
        )
    except (TypeError, ValueError, KeyError, OverflowError, CostError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"card.json of {data.get('model')!r}: {error}") from error


def _contents_from_json(data: Any) -> Contents:
    if not isinstance(data, dict):
        raise StoreError(f"card.json: contents is {shown(data)}; expected an object")
    unknown = sorted(set(data) - {f.name for f in fields(Contents)})
    if unknown:
        raise StoreError(f"card.json: unknown field {listed(unknown)} in contents")
    parts = tuple(PartFile(str(p["file"]), int(p["rows"]), str(p["sha256"])) for p in data.get("parts", []))
    for part in parts:
        if not re.fullmatch(r"part-\d+-\d+\.parquet", part.file) or part.rows < 0:
            raise StoreError(f"card.json: part {part.file!r} with {part.rows} rows is not a part of a store")
    classes = data["classes"]
    return Contents(
        rows=int(data["rows"]),
        classes=None if classes is None else int(classes),
        dtype=str(data["dtype"]),
        content=str(data["content"]),
        parts=parts,
        scores=tuple(map(str, data.get("scores", ()))),
        unit_costs=tuple(map(str, data.get("unit_costs", ()))),
        graded=bool(data.get("graded", False)),
        calibration=None if data.get("calibration") is None else Calibration.from_json(data["calibration"]),
        units=None if data.get("units") is None else str(data["units"]),
    )


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in value):
        raise StoreError(f"'input_size' is {shown(value)}; expected a list of whole numbers")
    return tuple(value)


def _check_meta(meta: Mapping[str, Any], kind: str | None) -> None:
    """Check the fields of `meta` that this program reads: data, members and cell. All other fields are free."""
    data, members = meta.get("data"), meta.get("members", {})
    if data is not None and not isinstance(data, str):
        raise StoreError(f"'meta.data' is {shown(data)}; expected text")
    if kind != "cell_counts" or "members" not in meta:
        return
    if not isinstance(members, dict) or not members or not all(isinstance(m, dict) for m in members.values()):
        raise StoreError(f"'meta.members' is {shown(members)}; expected the costs of each member")
    for model, costs in members.items():
        for name, value in costs.items():
            check_cost(value, f"cost {name!r} of member {model!r}")
    cell = meta.get("cell")
    if isinstance(cell, bool) or not isinstance(cell, int) or not 0 < cell < MAX_COUNT:
        raise StoreError(f"'meta.cell' is {shown(cell)}; expected a number of pixels")
