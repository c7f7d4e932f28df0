"""The card of an extracted model: its outputs and cost, and whether the split holds this extraction already."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import ContentError, CostError, StoreError, option
from wisecommittee.extraction.data.batch import Batch
from wisecommittee.extraction.data.labels import numbers_in_doubt
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.run.plan import Run
from wisecommittee.store.columns import StoredModel

SHOWN_CORRUPT = 100


def describe(
    run: Run,
    loaded: LoadedModel,
    preprocess: Preprocess | None,
    shape: Sequence[int],
    macs: int,
    outputs: int,
    columns: NDArray[np.int64] | None,
) -> ModelCard:
    """The card before the model has run. shape : of a batch of its inputs; outputs, columns : see ModelPlan."""
    return ModelCard(
        loaded.name,
        loaded.architecture,
        loaded.replica,
        blocks=_blocks(loaded, macs, f"{loaded.name} in {run.split}"),
        params=loaded.params,
        input_size=_input_size(loaded, preprocess, shape),
        training_cost=loaded.training_cost,
        group=loaded.group,
        position=loaded.position,
        origin=loaded.origin,
        weights=loaded.weights,
        class_names=run.data.classes,
        meta=_meta(run, preprocess, outputs, columns) | dict(loaded.meta),
    )


def _input_size(loaded: LoadedModel, preprocess: Preprocess | None, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of one unit for the card. shape : of a batch."""
    if loaded.resized_to is not None:
        return (*(shape[1:2] if preprocess is None else (loaded.input_size or (3,))[:1]), *loaded.resized_to)
    return loaded.input_size if preprocess is not None else tuple(shape[1:])


def _blocks(loaded: LoadedModel, macs: int, what: str) -> dict[str, int]:
    """Multiply-adds by block; the blocks that a model declares have to add up to its forward pass."""
    if loaded.blocks is None:
        return {loaded.name: macs}
    if (declared := sum(loaded.blocks.values())) != macs:
        raise CostError(f"{what}: its blocks add up to {declared:,} multiply-adds, its forward pass has {macs:,}")
    return dict(loaded.blocks)


def columns_of_classes(run: Run, loaded: LoadedModel, outputs: int, what: str) -> NDArray[np.int64] | None:
    """The output columns of the classes of the data, in the order of the classes; None if that is every column in
    order."""
    names = run.data.classes
    if names is None:
        return None
    given = loaded.classes.get("given")
    if given is not None and len(given) != outputs:
        raise ContentError(f"{what}: names of {len(given)} classes for {outputs} outputs; give one for each output")
    fitting = {vocabulary: known for vocabulary, known in loaded.classes.items() if len(known) == outputs}
    columns = with_fields(loaded, classes=fitting).columns(
        names
    )  # the names that came with another model's preprocessing may be of other outputs
    if not fitting and outputs != len(names):
        raise ContentError(
            f"{what}: {outputs} outputs for {len(names)} classes of the data; "
            f"say which output is which with {option('classes', placeholder='FILE')}"
        )
    if not fitting and (doubt := numbers_in_doubt(names)):
        warnings.warn(f"{run.data.what}: {doubt}", stacklevel=5)
    return None if np.array_equal(columns, np.arange(outputs)) else columns


def _meta(run: Run, preprocess: Preprocess | None, outputs: int, columns: NDArray[np.int64] | None) -> dict[str, Any]:
    """The facts that repeat this extraction: data, limit, precision, preprocessing, columns, units left out."""
    meta: dict[str, Any] = {"data": run.data.spec}
    if run.data.limit is not None:
        meta["limit"] = run.data.limit
    if run.settings.precision != "float32":
        meta["precision"] = run.settings.precision
    if preprocess is not None:
        meta["preprocess"] = preprocess.key
    if columns is not None:
        meta |= {"chosen_of_outputs": outputs, "columns": columns.tolist()}
    if run.data.corrupt:
        names = [unit.unit_id for unit in run.data.corrupt]
        meta["corrupt"] = {"units": len(names), "first": names[:SHOWN_CORRUPT]}
    return meta


def compare(run: Run, committed: StoredCard, card: ModelCard, probe: Batch, logits: NDArray[np.float32]) -> str:
    """'unchanged' or 'card updated' if the split holds this very extraction; else an error."""
    what = f"{card.model} is in {run.split} already"
    remedy = f"use {option('replace', True)} to exchange it, or {option('names', flag='name')} for another name"
    facts = [
        ("weights", committed.weights, card.weights),
        ("data", committed.meta.get("data"), card.meta["data"]),
        ("kind", committed.kind, card.kind),
        ("dtype", committed.contents.dtype, run.settings.dtype),
    ]
    facts += [(noun, committed.meta.get(noun), card.meta.get(noun)) for noun in ("precision", "preprocess")]
    for noun, old, new in facts:
        if old != new:
            raise StoreError(f"{what} with other {noun} ({str(old)[:40]}, now {str(new)[:40]}); {remedy}")
    rows = next(StoredModel(run.store, committed, run.split).row_groups())
    row_of = {unit: row for row, unit in enumerate(rows.unit_ids)}
    if set(probe.unit_ids) <= set(row_of):
        stored = np.asarray(rows.outputs, np.float32)[[row_of[unit] for unit in probe.unit_ids]]
        # Loose enough for float16 and another device, far below the effect of other code or preprocessing.
        if not np.allclose(stored, logits, rtol=1e-2, atol=1e-2 * max(1e-6, float(np.abs(stored).max()))):
            raise StoreError(f"{what}, with the same weights but other outputs; its code or its data changed; {remedy}")
    same = committed.blocks == card.blocks and card.training_cost in (None, committed.training_cost)
    return "unchanged" if same else "card updated"
