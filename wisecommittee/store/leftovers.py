"""The files of a writer in a model's folder until the model is committed: its plan, its parts and their labels.

A writer that was killed leaves them behind; the next one continues after them or clears them away.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import BusyError, StoreError
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.layout import lock_name, model_folder, part_name, part_units_path, plan_path
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.units_file import decode_units
from wisecommittee.store.rows import ModelRows
from wisecommittee.store.storage.files import Files

MAX_PLAN = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a rank: the identity of its job, the number of its first part, and the number of its parts once it
    has finished."""

    identity: str
    first: int
    finished: int | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan | None:
        """None if it is not a plan."""
        try:
            plan = cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return None
        numbers = (plan.first, 0 if plan.finished is None else plan.finished)
        return plan if all(type(number) is int and number >= 0 for number in numbers) else None

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def read_plan(files: Files, folder: str, rank: int) -> Plan | None:
    """The plan of a rank; None where there is none that can be read."""
    try:
        return Plan.from_bytes(files.read(plan_path(folder, rank), limit=MAX_PLAN))
    except (FileNotFoundError, StoreError):
        return None


def write_plan(files: Files, folder: str, rank: int, plan: Plan) -> None:
    files.write(plan_path(folder, rank), plan.to_bytes())


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is not committed yet: its bytes, and its row groups with the labels of their rows."""

    data: bytes
    groups: list[tuple[ModelRows, NDArray[np.generic]]]

    @property
    def rows(self) -> int:
        return sum(len(rows) for rows, _ in self.groups)


def read_part(files: Files, folder: str, rank: int, number: int, classes: int | None) -> WrittenPart:
    """An uncommitted part; StoreError unless it is whole and its labels are of the same units."""
    name, remedy = part_name(rank, number), f"run rank {rank} again"
    try:
        data = files.read(f"{folder}/{name}")
        unit_ids, labels = decode_units(files.read(part_units_path(folder, rank, number)), name)
    except FileNotFoundError as error:
        raise StoreError(f"{error} is missing; {remedy}") from None
    groups, start = [], 0
    for rows in parts.decode(data, name, classes):
        stop = start + len(rows)
        if rows.unit_ids != unit_ids[start:stop]:
            break
        groups.append((rows, labels[start:stop]))
        start = stop
    if start != len(unit_ids):
        raise StoreError(f"{files.uri_of(folder)}/{name} has other units than its labels; {remedy}")
    return WrittenPart(data, groups)


def clear_leftovers(catalog: Catalog, split: str, model: str) -> None:
    """Remove the files that a writer killed right after its commit has left beside a model. Only if a lock shows that
    no process is replacing the model."""
    files = catalog.files
    if files.local is None:
        return
    with contextlib.suppress(BusyError), files.lock(lock_name(split, model, 0), f"{model} in {split}"):
        if (card := catalog.read_card(split, model)) is not None:
            clear(files, split, card)


def clear(files: Files, split: str, card: StoredCard) -> None:
    """Remove all files in the folder of a committed model but its card and its parts."""
    kept = {"card.json", *(part.file for part in card.contents.parts)}
    folder = model_folder(split, card.model)
    for name in files.names(folder):
        if name not in kept:
            with contextlib.suppress(StoreError):  # a foreign folder, which the model does not need
                files.delete(f"{folder}/{name}")
