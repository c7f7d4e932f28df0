"""The units that exports are checked with: real ones where the caller or the store has them, else random tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.replay import data_spec, load_units, stored_data
from wisecommittee.deployment.units import Units
from wisecommittee.errors import AbsentError, UsageError, WiseCommitteeError, option
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.spec import open_data, program_in_data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.store import LogitStore
from wisecommittee.store.readers.arrays import load_npy

GOLDEN = 64  # units


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where golden units come from.

    Parameters
    ----------
    inputs : [n, ..] or path, optional
        As a deployed committee is called with: a tensor or array, or n images; or the .npy file of an array.
    unit_ids : text [n], optional
    input_size : tuple of int, optional
        Shape of one unit, of random tensors for members that do not know theirs.
    units : int
        Most units of the store, and the number of random ones.
    data : str or Data, optional
        Data that the members were extracted from; by default what their cards name.
    """

    inputs: Any = None
    unit_ids: Sequence[str] | None = None
    input_size: tuple[int, ...] | None = None
    units: int = GOLDEN
    data: str | Data | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.units <= 4096:
            raise UsageError(f"{option('units', self.units)}: expected 1 to 4,096 golden units")


@dataclass(frozen=True, slots=True)
class GoldenUnits:
    """n units, and where they come from, in words."""

    units: Units
    unit_ids: tuple[str, ...]
    source: str


def golden_units(run: Deployed, wanted: Wanted, store: LogitStore | None, *, trust: bool) -> GoldenUnits:
    """The given inputs, else units of the data that the members were extracted from, else random tensors."""
    models = list(run.models.values())
    if wanted.inputs is not None:
        is_file = isinstance(wanted.inputs, (str, os.PathLike))
        units = Units.of_inputs(np.array(load_npy(wanted.inputs)) if is_file else wanted.inputs, models)
        ids = tuple(map(str, range(len(units)) if wanted.unit_ids is None else wanted.unit_ids))
        return GoldenUnits(units, ids, "inputs that the caller gave")
    reason = "no store and no data are named"
    if store is not None or wanted.data is not None:
        try:
            return _stored(run, wanted, store, trust=trust)
        except WiseCommitteeError as error:
            if wanted.data is not None:
                raise
            reason = f"the store's data are not at hand ({error})"
    return _random(models, wanted, reason)


def _stored(run: Deployed, wanted: Wanted, store: LogitStore | None, *, trust: bool) -> GoldenUnits:
    split = run.committee.chosen_on or "val"
    if wanted.data is not None:
        data = open_data(wanted.data, split) if isinstance(wanted.data, str) else wanted.data
    else:
        assert store is not None
        split = _split(run.committee, store, split)
        spec = data_spec(run.committee, store, split)
        if not trust and (program := program_in_data(spec)):
            raise AbsentError(f"they are code, {spec!r}, {program}, which only runs with {option('trust', True)}")
        data = stored_data(run.committee, store, split)
    units, unit_ids, _ = load_units(data.limited(wanted.units), list(run.models.values()))
    return GoldenUnits(units, tuple(unit_ids), f"units of {split}, from {data.what}")


def _split(committee: Committee, store: LogitStore, preferred: str) -> str:
    whole = [split for split in store.splits() if set(committee.models) <= set(store.models(split))]
    if not whole:
        raise AbsentError(f"no split of {store.files.uri} has all of its members")
    return preferred if preferred in whole else whole[0]


def _random(models: Sequence[LoadedModel], wanted: Wanted, reason: str) -> GoldenUnits:
    shapes: dict[str | None, tuple[int, ...]] = {}
    for model in models:
        shape = model.unit_shape or wanted.input_size
        if shape is None:
            raise UsageError(
                f"{model.name}: the shape of its inputs is not known; give units, "
                f"{option('inputs', placeholder='FILE')}, or their shape, "
                f"{option('input_size', placeholder='3,224,224')}"
            )
        if shapes.setdefault(model.preprocess_key, shape) != shape:
            raise UsageError(
                f"{model.name}: takes inputs of {list(shape)}, another member with the same preprocessing "
                f"{list(shapes[model.preprocess_key])}; give units, {option('inputs', placeholder='FILE')}"
            )
    generator = torch.Generator().manual_seed(0)
    tensors: Mapping[str | None, torch.Tensor] = {
        key: torch.randn(wanted.units, *shape, generator=generator) for key, shape in shapes.items()
    }
    ids = tuple(f"random/{number}" for number in range(wanted.units))
    return GoldenUnits(
        Units.of_tensors(tensors), ids, f"random tensors, seed 0, because {reason}; no real unit was tried"
    )
