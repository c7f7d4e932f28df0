"""Is the deployed committee the one that was searched? Outputs of stored units, computed again and compared."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.units import Units
from wisecommittee.errors import (
    AbsentError,
    AbsentNameError,
    AlignmentError,
    CommitteeError,
    UsageError,
    WiseCommitteeError,
    option,
)
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.spec import open_data, program_in_data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.store import LogitStore

if TYPE_CHECKING:
    from wisecommittee.deployment.deployed import Deployed

REPLAYED = 32  # units
CLOSE = 1e-2  # times the largest output: float16 and other devices differ less, other code and classes more


def replay(run: Deployed, store: LogitStore, data: str | Data | None, *, trust: bool, units: int = REPLAYED) -> int:
    """Compare the members' outputs with the store, on units of the split the committee was chosen on, else of val.

    Returns the number of units; 0, with a warning, if their data are not at hand.
    """
    split = next((s for s in (run.committee.chosen_on, "val", *store.splits()) if s and _has(run, store, s)), None)
    try:
        if split is None:
            raise AbsentError(f"no split of {store.files.uri} has all of its members")
        if data is None:
            spec = data_spec(run.committee, store, split)
            if not trust and (program := program_in_data(spec)):
                raise AbsentError(
                    f"its data are code, {spec!r}, {program}, which only runs with trust=True or as data="
                )
            opened = stored_data(run.committee, store, split)
        else:
            opened = open_data(data, split) if isinstance(data, str) else data
        chosen, unit_ids, _ = load_units(opened.limited(units), list(run.models.values()))
    except WiseCommitteeError as error:
        warnings.warn(
            f"{run.committee.label()}: not compared with what is stored ({error}); give data=.., or compare with "
            f"check(inputs, unit_ids), or leave it out with replay=0",
            stacklevel=4,
        )
        return 0
    compare_outputs(run, chosen, unit_ids, store, split)
    return len(unit_ids)


def _has(run: Deployed, store: LogitStore, split: str) -> bool:
    return store.has_split(split) and set(run.committee.models) <= set(store.models(split))


def compare_outputs(run: Deployed, units: Units, unit_ids: Sequence[str], store: LogitStore, split: str) -> None:
    """CommitteeError unless the outputs of every member for these units are those in the store, up to rounding."""
    index = store.unit_index(split)
    if strange := [unit for unit in unit_ids if unit not in index]:
        raise AbsentNameError(f"unit of {split}", strange[0], list(index)[:12])
    if len(unit_ids) != len(units):
        raise AlignmentError(f"{len(unit_ids):,} unit ids for {len(units):,} inputs; expected one for each")
    rows = np.array([index[unit] for unit in unit_ids])
    for name in run.committee.models:
        if name not in store.models(split):
            continue
        run.trust_kind(name)  # the comparison settles whether it gives logits
        stored, ours = np.asarray(store.outputs(name, split)[rows], np.float32), run.as_stored(name, units)
        if stored.shape != ours.shape:
            raise CommitteeError(
                f"{name}: {ours.shape[1]} outputs, {split} has {stored.shape[1]} classes; name those with classes=.., "
                f"or name the model that was extracted"
            )
        if run.kind(name) == "logits":  # a constant added to a row decides nothing
            stored, ours = _centred(stored), _centred(ours)
        allowed = CLOSE * (np.abs(stored) + max(1e-6, float(np.abs(stored[np.isfinite(stored)]).max(initial=0))))
        with np.errstate(invalid="ignore"):
            apart = np.where(stored == ours, 0, np.abs(stored - ours))
        if not (wrong := ~(apart <= allowed)).any():
            continue
        row, column = (int(p) for p in np.unravel_index(np.where(wrong, apart, -1).argmax(), apart.shape))
        raise CommitteeError(
            f"{name}: unit {unit_ids[row]!r} of {split} has {stored[row, column]:.4g} for class {column} in the store, "
            f"{ours[row, column]:.4g} here ({wrong.any(axis=1).sum()} of {len(rows)} units differ), so this is not the "
            f"committee that was searched; check its weights, inputs, preprocessing and the order of its classes, or "
            f"run it anyway with force"
        )


def _centred(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row [C] minus the mean of its finite entries."""
    finite = np.isfinite(logits)
    sums = np.where(finite, logits, 0).sum(axis=1, dtype=np.float64, keepdims=True)
    return (logits - sums / np.maximum(1, finite.sum(axis=1, keepdims=True))).astype(np.float32)


def data_spec(committee: Committee, store: LogitStore, split: str) -> str:
    """Spec of the data that the members were extracted from."""
    return str(_card_with_data(committee, store, split).meta["data"])


def stored_data(committee: Committee, store: LogitStore, split: str) -> Data:
    """The units of a split, opened from the data that the members were extracted from."""
    meta = _card_with_data(committee, store, split).meta
    limit = meta.get("limit")
    data = open_data(str(meta["data"]), split, limit=limit if type(limit) is int and limit > 0 else None)
    return data.only(store.unit_index(split))


def _card_with_data(committee: Committee, store: LogitStore, split: str) -> StoredCard:
    for name in committee.models:
        if name in store.models(split) and (card := store.card(name, split)).meta.get("data"):
            return card
    raise AbsentError(
        f"{split} of {store.files.uri} does not say what data its models saw; name them with "
        f"{option('data', placeholder='SPEC')}"
    )


def load_units(data: Data, models: Sequence[LoadedModel]) -> tuple[Units, list[str], NDArray[np.int64]]:
    """All units as tensors, once per preprocessing, with their ids and labels."""
    wanted: Mapping[str | None, Preprocess | None] = {None: None}
    if data.images:
        wanted = {model.preprocess_key: model.preprocess for model in models}
    if None in wanted and data.images:
        bare = next(model for model in models if model.preprocess is None)
        raise UsageError(
            f"{bare.name}: {data.what} gives images, and {bare.origin!r} does not say how to make tensors of them; "
            f"name a model with the same preprocessing, {option('preprocess', placeholder='timm:resnet50')}"
        )
    tensors: dict[str | None, torch.Tensor] = {}
    for key, preprocess in wanted.items():
        batches = list(data.batches(256, preprocess=preprocess))
        tensors[key] = torch.cat([batch.inputs for batch in batches])
    unit_ids = [unit for batch in batches for unit in batch.unit_ids]
    labels = np.concatenate([batch.labels for batch in batches]).astype(np.int64)
    return Units.of_tensors(tensors), unit_ids, labels
