"""The one way in: every model runs once over a split, its logits go to the store in batches.

Two phases. First every model is loaded, runs on a few units and is checked against the data and the store; nothing is
written. Then each is streamed. A killed run leaves whole parts; the same call continues after them, with the same bits.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.cards import Contents, ModelCard
from wisecommittee.errors import AlignmentError, ContentError, StoreError, UsageError
from wisecommittee.extract.data import Batch, Data, open_data
from wisecommittee.extract.forward import forward, pick_device
from wisecommittee.extract.macs import count_macs
from wisecommittee.extract.models import LoadedModel, load_model
from wisecommittee.store import LogitStore, gate
from wisecommittee.store.logit_store import check_split_name

PROBE_UNITS = 2
Progress = Callable[[str, int, int | None], None]  # (task, units done, units in total or None)


@dataclass(frozen=True, slots=True)
class Extracted:
    """A model as it now stands in a split. status : 'added', 'replaced', 'unchanged' or 'card updated'."""

    card: ModelCard
    split: str
    status: str


@dataclass(frozen=True, slots=True)
class _Run:
    """What is the same for all models of a call."""

    data: Data
    split: str
    store: LogitStore
    device: torch.device
    batch_size: int
    dtype: str
    replace: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    load: Callable[[], LoadedModel]
    card: ModelCard
    classes: int
    identity: str  # rows of a killed run are kept only if it is equal
    status: str


def extract(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    *,
    device: str = "auto",
    batch_size: int = 256,
    dtype: str = "float32",
    macs: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    random_weights: bool = False,
    replace: bool = False,
    limit: int | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> list[Extracted]:
    """Run models over data and keep their logits, float32 [N, C]; returns one entry per model, in the order given.

    models : specs (see models.py) or loaded modules; names, macs : one per model, instead of the default name and the
    counted multiply-adds; limit : only the first units; progress : called with (task, units done, units in total).
    A model that is in the split already with the same weights, data and outputs is left alone.
    """
    models = list(models)
    for noun, values in (("--name", names), ("--macs", macs)):
        if values and len(values) != len(models):
            raise UsageError(
                f"{len(values)} values of {noun} for {len(models)} models; give one for each model, in order"
            )
    if not models:
        raise UsageError("no model to extract; name at least one")
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size}: expected at least 1")
    if dtype not in ("float32", "float16"):
        raise UsageError(f"dtype {dtype!r}: a store holds float32 or float16")
    check_split_name(split)
    target = pick_device(device)
    if isinstance(data, str):
        data = open_data(data, split, limit=limit, workers=workers)
    elif limit is not None:
        data = with_fields(data, limit=limit, units=None if data.units is None else min(limit, data.units))
    run = _Run(data, split, store, target, batch_size, dtype, replace)
    probe = _probe(run)
    plans: list[_Plan] = []
    for i, model in enumerate(models):
        load = _loader(model, names[i] if names else None, random_weights)
        plans.append(_plan(run, load, probe, macs[i] if macs else None))
        _check_distinct(plans)
    return [_stream(run, plan, progress) for plan in plans]


# Phase one: everything is checked, nothing is written


def _loader(model: str | LoadedModel, name: str | None, random_weights: bool) -> Callable[[], LoadedModel]:
    if isinstance(model, str):
        return lambda: load_model(model, name, random_weights=random_weights)
    loaded = model.named(name) if name else model
    return lambda: loaded


def _probe(run: _Run) -> Batch:
    """The first units; checked, with their number, against a split that exists."""
    what = f"data {run.data.spec!r}"
    first = next(run.data.batches(PROBE_UNITS), None)
    if first is None or not len(first):
        raise ContentError(f"{what}: no units; expected at least one")
    probe = Batch(0, first.inputs[:PROBE_UNITS], first.labels[:PROBE_UNITS], first.unit_ids[:PROBE_UNITS])
    if run.store.has_split(run.split):
        known = run.store.unit_index(run.split)
        if run.data.units not in (None, len(known)):
            raise AlignmentError(
                f"{what}: {run.data.units:,} units, {run.split} has {len(known):,}; "
                f"the models of a split see the same units, write to another --split"
            )
        there = run.store.labels(run.split)
        for unit, label in zip(probe.unit_ids, gate.check_labels(probe.labels, None, what), strict=True):
            found = f"label {there[known[unit]]}" if unit in known else "no such unit"
            if found != f"label {label}":
                raise AlignmentError(
                    f"{what}: unit {unit!r} has label {label}, {run.split} has {found}; "
                    f"the models of a split see the same units, write to another --split"
                )
    return probe


def _plan(run: _Run, load: Callable[[], LoadedModel], probe: Batch, macs: int | None) -> _Plan:
    loaded = load()
    what = f"{loaded.name} in {run.split}"
    logits = forward(loaded.module.to(run.device), probe.inputs, what)
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        warnings.warn(
            f"{what}: its outputs look like probabilities; extract logits, without a final softmax", stacklevel=3
        )
    classes = logits.shape[1]
    gate.check_labels(probe.labels, classes, what)
    loaded.module.to("cpu")
    card = ModelCard(
        loaded.name,
        loaded.architecture,
        loaded.replica,
        blocks={loaded.name: macs if macs is not None else count_macs(loaded.module, probe.inputs, loaded.name)},
        params=sum(parameter.numel() for parameter in loaded.module.parameters()),
        input_size=tuple(probe.inputs.shape[1:]),
        training_cost=loaded.training_cost,
        origin=loaded.origin,
        weights=loaded.weights,
        meta={"data": run.data.spec, **loaded.meta},
    )
    placeholder = Contents(run.data.units or 0, classes, run.dtype, "")
    run.store.check_siblings(run.split, card.with_contents(placeholder))
    committed = run.store.read_card(run.split, card.model)
    status = "added" if committed is None else "replaced"
    if committed is not None and not run.replace:
        status = _compare(run, committed, card, probe, logits)
        card = card.with_contents(committed.contents)
    seen = hashlib.sha256(probe.inputs.cpu().numpy().tobytes() + logits.tobytes()).hexdigest()
    identity = f"{run.device} {run.batch_size} {run.data.limit} {seen}"
    return _Plan(load, card, classes, identity, status)


def _compare(run: _Run, committed: ModelCard, card: ModelCard, probe: Batch, logits: NDArray[np.float32]) -> str:
    """'unchanged' or 'card updated' if the split holds this very extraction; else an error."""
    assert committed.contents is not None
    what = f"{card.model} is in {run.split} already"
    remedy = "use --replace to exchange it, or --name for another name"
    facts = (
        ("weights", committed.weights, card.weights),
        ("data", committed.meta.get("data"), card.meta["data"]),
        ("kind", committed.kind, card.kind),
        ("dtype", committed.contents.dtype, run.dtype),
    )
    for noun, old, new in facts:
        if old != new:
            raise StoreError(f"{what} with other {noun} ({str(old)[:40]}, now {str(new)[:40]}); {remedy}")
    rows = next(iter(run.store.read_parts(committed, run.split)))
    place = {unit: row for row, unit in enumerate(rows.unit_ids)}
    if set(probe.unit_ids) <= set(place):
        stored = np.asarray(rows.outputs, np.float32)[[place[unit] for unit in probe.unit_ids]]
        # Loose enough for float16 and another device, far below what other code or preprocessing changes.
        if not np.allclose(stored, logits, rtol=1e-2, atol=1e-2 * max(1e-6, float(np.abs(stored).max()))):
            raise StoreError(f"{what}, with the same weights but other outputs; its code or its data changed; {remedy}")
    return "unchanged" if committed.blocks == card.blocks else "card updated"


def _check_distinct(plans: Sequence[_Plan]) -> None:
    new = plans[-1]
    for other in plans[:-1]:
        if other.card.model == new.card.model:
            raise UsageError(
                f"two models are called {new.card.model!r}; tell them apart with --name, one for each model"
            )
        if other.card.key[:2] == new.card.key[:2]:
            raise UsageError(
                f"{other.card.model} and {new.card.model} are both replica {new.card.replica} of "
                f"{new.card.architecture!r}; give each a replica number with --name, such as {new.card.architecture}/1"
            )
        if other.classes != new.classes:
            raise ContentError(
                f"{new.card.model}: {new.classes} classes, {other.card.model} has {other.classes}; "
                f"the models of a split answer the same question"
            )


# Phase two: one model at a time


def _stream(run: _Run, plan: _Plan, progress: Progress | None) -> Extracted:
    card = plan.card
    if plan.status == "card updated":
        committed = run.store.card(card.model, run.split)
        card = with_fields(committed, blocks=card.blocks, params=card.params, input_size=card.input_size)
        run.store.update_card(run.split, card)
    if plan.status in ("unchanged", "card updated"):
        return Extracted(card, run.split, plan.status)
    loaded = plan.load()
    what = f"{card.model} in {run.split}"
    if loaded.weights != card.weights:
        raise ContentError(
            f"{what}: its weights differ from one loading to the next; store them and name the file, {card.origin}@FILE"
        )
    module = loaded.module.to(run.device)
    options = {"identity": plan.identity, "dtype": run.dtype, "replace": run.replace}
    with run.store.writer(card, run.split, classes=plan.classes, **options) as writer:
        done = writer.rows_done
        for batch in run.data.batches(run.batch_size, skip=done):
            if progress:
                progress(what, done, run.data.units)
            logits = forward(module, batch.inputs, what)
            if logits.shape[1] != plan.classes:
                raise ContentError(f"{what}: {logits.shape[1]} classes from row {batch.start}; expected {plan.classes}")
            new = slice(done - batch.start, None)
            writer.append(batch.unit_ids[new], batch.labels[new], logits[new])
            done = batch.stop
        card = writer.commit()
    module.to("cpu")
    if progress:
        progress(what, done, done)
    return Extracted(card, run.split, plan.status)
