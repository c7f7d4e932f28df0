"""Phase one of an extraction: every model is loaded, runs on a few units and is checked; nothing is written."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.cards import Contents, ModelCard, StoredCard
from wisecommittee.committees.replicas import same_replica
from wisecommittee.errors import (
    AlignmentError,
    ContentError,
    CostError,
    StoreError,
    UsageError,
    WiseCommitteeError,
    option,
)
from wisecommittee.extraction.data.labels import numbers_in_doubt
from wisecommittee.extraction.data.spec import Batch, Data, open_data
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.preprocess import CLIPS, Preprocess
from wisecommittee.extraction.models.spec import FILES, LoadedModel, load_model
from wisecommittee.extraction.run.forward import Forward, pick_device
from wisecommittee.extraction.run.ranks import Ranks, own_device
from wisecommittee.extraction.run.settings import Settings
from wisecommittee.store import LogitStore, checks
from wisecommittee.store.logit_store import check_split_name
from wisecommittee.store.writer import check_against_units, missing_units

PROBE_UNITS = 2
REPEATS = 2  # of the probe
# Differences relative to the largest output: above rounding (in reduced precision, in another batch), below dropout.
STEADY, STEADY_REDUCED = 1e-3, 3e-2
SHOWN_CORRUPT = 100


@dataclass(frozen=True, slots=True)
class Run:
    """What is the same for all models of a call."""

    data: Data
    split: str
    store: LogitStore
    device: torch.device
    ranks: Ranks
    settings: Settings


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model that has passed phase one.

    outputs : columns of the module; columns : those that are stored, None for all; identity : rows of a killed run
    are kept only if it is equal; status : what will have happened to the model; preprocess : of images, else None.
    """

    load: Callable[[], LoadedModel]
    card: ModelCard
    outputs: int
    columns: NDArray[np.int64] | None
    layout: str
    identity: str
    status: str
    preprocess: Preprocess | None

    @property
    def classes(self) -> int:
        return self.outputs if self.columns is None else len(self.columns)

    @property
    def is_due(self) -> bool:
        """Whether it has to run over the data."""
        return self.status in ("added", "replaced")

    @property
    def group(self) -> str | None:
        """Models of one group see the same tensors, and so share a pass over the data."""
        return None if self.preprocess is None else self.preprocess.key

    def chosen(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, outputs] -> [n, classes]"""
        return logits if self.columns is None else logits[:, self.columns]


def make_plan(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    ranks: Ranks,
    settings: Settings,
) -> tuple[Run, list[ModelPlan]]:
    """Everything checked. Of several ranks all get through, or none."""
    models = list(models)
    settings.check_models(len(models))
    check_split_name(split)
    plans: list[ModelPlan] = []
    problem: Exception | None = None
    try:
        device = pick_device(own_device(settings.device))
        if isinstance(data, str):
            data = open_data(data, split, limit=settings.limit, workers=settings.workers)
        else:
            data = with_fields(data.limited(settings.limit), workers=settings.workers or data.workers)
        if ranks.count > 1 and (data.units is None or not data.random_access):
            raise UsageError(f"{data.what}: several ranks need a Dataset with a length, or arrays; run a single one")
        if settings.classes is not None and data.classes is None:
            raise UsageError(
                f"{data.what}: its classes have no names to match with those of {option('classes')}; leave it out"
            )
        if CLIPS in (settings.views or ()) and data.images:
            raise UsageError(
                f"{data.what}: {option('views')} clips is for tensors [n, views, ..], and this gives images"
            )
        if settings.preprocess is not None and not data.images:
            raise UsageError(f"{data.what}: its items are tensors, not images; leave {option('preprocess')} out")
    except Exception as error:
        problem = error
    ranks.agree(problem)
    assert isinstance(data, Data)
    run = Run(data, split, store, device, ranks, settings)
    if settings.skip_corrupt:
        run = with_fields(run, data=_without_corrupt(run))
    try:
        probes = _Probes(run)
        _check_split(run, probes)
        for loader, macs in _loaders(models, run):
            plans.append(_plan_model(run, loader, probes, macs))
            _check_distinct(plans)
    except Exception as error:
        problem = error
    ranks.agree(problem)
    return run, _as_rank_0(run, plans)


def _as_rank_0(run: Run, plans: list[ModelPlan]) -> list[ModelPlan]:
    """The same extraction on all ranks: last bits may differ between their GPUs, weights and statuses may not."""
    described = [(plan.card.model, plan.card.weights, plan.status, plan.identity, plan.layout) for plan in plans]
    found = run.ranks.gather(described)
    for rank, other in enumerate(found):
        for ours, theirs in zip(found[0], other, strict=True):
            if ours[:3] != theirs[:3]:
                raise WiseCommitteeError(
                    f"rank {rank} has {theirs[0]} with weights {str(theirs[1])[:12]} ({theirs[2]}), rank 0 has "
                    f"{ours[0]} with {str(ours[1])[:12]} ({ours[2]}); all need the same models and the same store"
                )
    return [with_fields(p, identity=d[3], layout=d[4]) for p, d in zip(plans, found[0], strict=True)]


def _without_corrupt(run: Run) -> Data:
    """Which units are left out is settled here for all models, passes and ranks."""
    data, ranks = run.data, run.ranks
    problem, own = None, []
    try:
        own = data.find_corrupt(ranks.rank, ranks.count)
    except Exception as error:
        problem = error
    ranks.agree(problem)
    found = [unit for part in ranks.gather(own) for unit in part]
    if not found:
        return data
    data = data.without_corrupt(found)
    shown = ", ".join(map(str, data.corrupt[:10])) + (", .." if len(data.corrupt) > 10 else "")
    if ranks.rank == 0:
        warnings.warn(
            f"{data.what}: {len(data.corrupt):,} images cannot be decoded and are left out for every model: {shown}",
            stacklevel=5,
        )
    return data


def _loaders(models: Sequence[str | LoadedModel], run: Run) -> Iterator[tuple[Callable[[], LoadedModel], int | None]]:
    """(how to load it, declared multiply-adds) of every model at every size and view."""
    settings = run.settings
    lender = None if settings.preprocess is None else _load_lender(settings.preprocess)

    def loader(model: str | LoadedModel, place: int, size: int | None, view: str | None) -> LoadedModel:
        name = settings.names[place] if settings.names else None
        if isinstance(model, str):
            loaded = load_model(model, name, random_weights=settings.random_weights)
        else:
            loaded = model.named(name) if name else model
        if settings.training_costs:
            loaded = with_fields(loaded, training_cost=settings.training_costs[place])
        loaded = loaded if settings.classes is None else loaded.with_classes(Path(settings.classes))
        loaded = loaded if size is None else loaded.at_size(size)
        if loaded.preprocess is None and lender is not None:
            loaded = loaded.with_preprocess_of(lender)
            loaded = with_fields(loaded, meta={**loaded.meta, "preprocess_of": settings.preprocess})
        if loaded.preprocess is None and run.data.images:
            raise _no_preprocessing(run, loaded)
        return loaded if view is None else loaded.with_view(view)

    for place, model in enumerate(models):
        sizes: Sequence[int | None] = settings.sizes or [None]
        views: Sequence[str | None] = settings.views or [None]
        for size, view in product(sizes, views):
            yield partial(loader, model, place, size, view), settings.macs[place] if settings.macs else None


def _load_lender(spec: str) -> LoadedModel:
    """The model of --preprocess; only what it does to an image is wanted, so its weights stay random."""
    if Path(spec).suffix in FILES:
        raise UsageError(
            f"{option('preprocess', spec)}: such a file holds no preprocessing; name the model it was exported from, "
            f"as in {option('preprocess', placeholder='timm:resnet50')}"
        )
    lender = load_model(spec, random_weights=True)
    if lender.preprocess is None:
        raise UsageError(
            f"{option('preprocess', spec)}: defines no preprocessing; name a model that does, as timm:resnet50"
        )
    return lender


def _no_preprocessing(run: Run, loaded: LoadedModel) -> UsageError:
    code = Path(loaded.origin).suffix not in FILES
    return UsageError(
        f"{loaded.name} in {run.split}: {run.data.what} gives images, and {loaded.origin!r} does not say how to make "
        "tensors of them; name a model with the same preprocessing, "
        f"{option('preprocess', placeholder='timm:resnet50')}"
        + (", or give its factory an attribute `preprocess`" if code else "")
    )


class _Probes:
    """The first units, as tensors for each preprocessing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._known: dict[tuple[str | None, int], Batch] = {}

    def __call__(self, preprocess: Preprocess | None, units: int = PROBE_UNITS) -> Batch:
        key = (None if preprocess is None else preprocess.key, units)
        if key not in self._known:
            data = with_fields(self.run.data, workers=0)
            first = next(data.batches(units, stop=units, preprocess=preprocess), None)
            if first is None or not len(first):
                raise ContentError(f"{data.what}: no units; expected at least one")
            self._known[key] = first.head(units)
        return self._known[key]


def _check_split(run: Run, probes: _Probes) -> None:
    """The units, as far as they are known before they are read, are those of the split if it is there."""
    data, split = run.data, run.split
    known = data.known()
    if known is None and not data.images:
        probe = probes(None)
        known = probe.unit_ids, probe.labels
    if known is not None:
        checks.check_unit_ids(known[0], data.what)
    if not run.store.has_split(split):
        return
    index = run.store.unit_index(split)
    left_out = next((unit for unit in data.corrupt if unit.unit_id in index), None)
    if left_out is not None:
        raise AlignmentError(
            f"{data.what}: {left_out} cannot be decoded, but the models of {split} have seen it; mend it, or write to "
            f"another {option('split')}: the models of a split see the same units"
        )
    if data.units not in (None, len(index)):
        if (shorter := _left_out(run, data, len(index))) is not None:
            raise shorter
        raise AlignmentError(
            f"{data.what}: {data.units:,} units, {split} has {len(index):,}; "
            f"the models of a split see the same units, write to another {option('split')}"
        )
    if known is None:
        return
    labels = checks.check_labels(known[1], None, data.what)
    there = run.store.labels(split)
    for unit, label in zip(known[0][:PROBE_UNITS], labels[:PROBE_UNITS], strict=True):
        found = f"label {there[index[unit]]}" if unit in index else "no such unit"
        if found != f"label {label}":
            raise AlignmentError(
                f"{data.what}: unit {unit!r} has label {label}, {split} has {found}; "
                f"the models of a split see the same units, write to another {option('split')}"
            )
    check_against_units(data.what, known[0], labels, index, there)
    if data.units is not None and len(known[0]) == data.units != len(index):
        raise missing_units(data.what, known[0], index)


def _left_out(run: Run, data: Data, there: int) -> AlignmentError | None:
    """Where a split lacks units because they could not be decoded, that is what to say."""
    for model in run.store.models(run.split):
        corrupt = run.store.card(model, run.split).meta.get("corrupt")
        missing, names = (corrupt.get("units"), corrupt.get("first")) if isinstance(corrupt, dict) else (None, None)
        if type(missing) is int and not data.corrupt and data.units == there + missing:
            shown = names[0] if isinstance(names, list) and names else "?"
            remedy = (
                f"they can now; write to another {option('split')}"
                if run.settings.skip_corrupt
                else f"use {option('skip_corrupt', True)} too"
            )
            return AlignmentError(
                f"{data.what}: {run.split} left out {missing:,} of its images that could not be decoded, as "
                f"{shown!r}; {remedy}: the models of a split see the same units"
            )
    return None


def _plan_model(run: Run, load: Callable[[], LoadedModel], probes: _Probes, declared_macs: int | None) -> ModelPlan:
    loaded = load()
    data, settings = run.data, run.settings
    what = f"{loaded.name} in {run.split}"
    preprocess = loaded.preprocess if data.images else None
    probe = probes(preprocess)
    _check_size(run, loaded, probe.inputs.shape, what)
    with Forward(loaded.module, what, run.device, precision=settings.precision) as forward:
        logits = forward(probe.inputs, probe.unit_ids)
        _check_steady(forward, probe, logits, what)
        layout = "contiguous" if settings.layout == "auto" else settings.layout
        if settings.layout == "auto" and run.device.type == "cuda":
            layout = forward.pick_layout(probes(preprocess, settings.batch_size).inputs)
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        warnings.warn(
            f"{what}: its outputs look like probabilities; extract logits, without a final softmax", stacklevel=5
        )
    outputs = logits.shape[1]
    columns = _columns(run, loaded, outputs, what)
    logits = logits if columns is None else logits[:, columns]
    known = data.known()
    checks.check_labels(probe.labels if known is None else known[1], logits.shape[1], what)
    macs = declared_macs if declared_macs is not None else count_macs(loaded.module, probe.inputs, loaded.name)
    card = ModelCard(
        loaded.name,
        loaded.architecture,
        loaded.replica,
        blocks=_blocks(loaded, macs, what),
        params=loaded.params,
        input_size=_input_size(loaded, preprocess, probe.inputs.shape),
        training_cost=loaded.training_cost,
        group=loaded.group,
        position=loaded.position,
        origin=loaded.origin,
        weights=loaded.weights,
        class_names=data.classes,
        meta=_meta(run, preprocess, outputs, columns) | dict(loaded.meta),
    )
    placeholder = Contents(data.units or 0, logits.shape[1], settings.dtype, "")
    run.store.check_siblings(run.split, card.with_contents(placeholder))
    committed = run.store.committed(run.split, card.model, replace=settings.replace)
    status = "added" if committed is None else "replaced"
    if committed is not None and not settings.replace:
        status = _compare(run, committed, card, probe, logits)
    seen = hashlib.sha256(probe.inputs.cpu().numpy().tobytes() + logits.tobytes()).hexdigest()
    identity = f"{run.device.type} {settings.batch_size} {data.limit} {layout} {seen}"
    return ModelPlan(load, card, outputs, columns, layout, identity, status, preprocess)


def _check_steady(forward: Forward, probe: Batch, logits: NDArray[np.float32], what: str) -> None:
    """A unit's outputs are the same in every pass, and do not depend on the other units of its batch."""
    largest = max(1e-6, float(np.abs(logits).max()))
    allowed = largest * (STEADY if forward.precision == "float32" else STEADY_REDUCED)
    for _ in range(REPEATS):
        apart = float(np.abs(forward(probe.inputs, probe.unit_ids) - logits).max())
        if apart > allowed:
            raise ContentError(
                f"{what}: its outputs differ from one pass to the next, by up to {apart:.3g} (the largest is "
                f"{largest:.3g}); dropout or noise is on; turn it off in eval mode, as functional.dropout does with "
                f"training=self.training"
            )
    twice = probe.inputs[:1].expand(len(probe), *probe.inputs.shape[1:])  # the first unit in other company, its own
    apart = float(np.abs(forward(twice.contiguous())[:1] - logits[:1]).max())
    if apart > STEADY_REDUCED * largest:
        raise ContentError(
            f"{what}: the outputs of a unit depend on the others in its batch, by up to {apart:.3g} (the largest is "
            f"{largest:.3g}); put batch normalisation into eval mode, or leave out what compares units"
        )


def _check_size(run: Run, loaded: LoadedModel, shape: Sequence[int], what: str) -> None:
    """Tensors cannot be prepared at another size."""
    sizes, size = run.settings.sizes, loaded.input_size
    if sizes and size and not run.data.images and not loaded.resized_to and tuple(shape[-2:]) != size[-2:]:
        raise UsageError(
            f"{what}: its input size is {' x '.join(map(str, size))}, the items of {run.data.what} are tensors of "
            f"{' x '.join(map(str, shape[1:]))}; give images, or leave {option('sizes')} out"
        )


def _input_size(loaded: LoadedModel, preprocess: Preprocess | None, shape: Sequence[int]) -> tuple[int, ...] | None:
    """What the card says of the inputs; shape : of a batch."""
    if loaded.resized_to is not None:
        return (*(shape[1:2] if preprocess is None else (loaded.input_size or (3,))[:1]), *loaded.resized_to)
    return loaded.input_size if preprocess is not None else tuple(shape[1:])


def _blocks(loaded: LoadedModel, macs: int, what: str) -> dict[str, int]:
    """Multiply-adds by block; those a model declares have to add up to what it runs."""
    if loaded.blocks is None:
        return {loaded.name: macs}
    if (declared := sum(loaded.blocks.values())) != macs:
        raise CostError(f"{what}: its blocks add up to {declared:,} multiply-adds, its forward pass has {macs:,}")
    return dict(loaded.blocks)


def _columns(run: Run, loaded: LoadedModel, outputs: int, what: str) -> NDArray[np.int64] | None:
    """Which outputs are the classes of the data, in their order; None if they are all of them in order."""
    names = run.data.classes
    if names is None:
        return None
    given = loaded.classes.get("given")
    if given is not None and len(given) != outputs:
        raise ContentError(f"{what}: names of {len(given)} classes for {outputs} outputs; give one for each output")
    fitting = {vocabulary: known for vocabulary, known in loaded.classes.items() if len(known) == outputs}
    columns = with_fields(loaded, classes=fitting).columns(names)  # a lender's names may be of other outputs
    if not fitting and outputs != len(names):
        raise ContentError(
            f"{what}: {outputs} outputs for {len(names)} classes of the data; "
            f"say which output is which with {option('classes', placeholder='FILE')}"
        )
    if not fitting and (doubt := numbers_in_doubt(names)):
        warnings.warn(f"{run.data.what}: {doubt}", stacklevel=5)
    return None if np.array_equal(columns, np.arange(outputs)) else columns


def _meta(run: Run, preprocess: Preprocess | None, outputs: int, columns: NDArray[np.int64] | None) -> dict[str, Any]:
    """What it takes to do the same again."""
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


def _compare(run: Run, committed: StoredCard, card: ModelCard, probe: Batch, logits: NDArray[np.float32]) -> str:
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
    rows = next(iter(run.store.read_parts(committed, run.split)))
    place = {unit: row for row, unit in enumerate(rows.unit_ids)}
    if set(probe.unit_ids) <= set(place):
        stored = np.asarray(rows.outputs, np.float32)[[place[unit] for unit in probe.unit_ids]]
        # Loose enough for float16 and another device, far below what other code or preprocessing changes.
        if not np.allclose(stored, logits, rtol=1e-2, atol=1e-2 * max(1e-6, float(np.abs(stored).max()))):
            raise StoreError(f"{what}, with the same weights but other outputs; its code or its data changed; {remedy}")
    same = committed.blocks == card.blocks and card.training_cost in (None, committed.training_cost)
    return "unchanged" if same else "card updated"


def _check_distinct(plans: Sequence[ModelPlan]) -> None:
    new = plans[-1]
    for other in plans[:-1]:
        if other.card.model == new.card.model:
            raise UsageError(
                f"two models are called {new.card.model!r}; tell them apart with {option('names', flag='name')}, one "
                "for each model"
            )
    if found := same_replica([plan.card for plan in plans]):
        first, second, architecture, replica = found
        raise UsageError(
            f"{first} and {second} are both replica {replica} of {architecture!r}; give each a replica number with "
            f"{option('names', flag='name')}, such as {architecture}/1"
        )
    for other in plans[:-1]:
        if other.classes != new.classes:
            raise ContentError(
                f"{new.card.model}: {new.classes} classes, {other.card.model} has {other.classes}; "
                f"the models of a split answer the same question"
            )
