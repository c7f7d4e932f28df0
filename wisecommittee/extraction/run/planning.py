"""Phase one of an extraction: every model is loaded, runs on a few units and is checked; nothing is written."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace as with_fields

import numpy as np

from wisecommittee.committees.replicas import same_replica
from wisecommittee.errors import ContentError, UsageError, WiseCommitteeError, option
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.spec import open_data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.preprocess import CLIPS
from wisecommittee.extraction.run.cards import columns_of_classes, compare, describe
from wisecommittee.extraction.run.forward import Forward, pick_device
from wisecommittee.extraction.run.loaders import loaders
from wisecommittee.extraction.run.plan import ModelPlan, Run
from wisecommittee.extraction.run.probes import Probes, check_size, check_steady
from wisecommittee.extraction.run.ranks import Ranks, own_device
from wisecommittee.extraction.run.settings import Settings
from wisecommittee.extraction.run.split_checks import check_split
from wisecommittee.store import LogitStore, checks
from wisecommittee.store.layout import check_split_name


def make_plan(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    ranks: Ranks,
    settings: Settings,
) -> tuple[Run, list[ModelPlan]]:
    """Load every model, run it on a few units, and check it against the data and the store. Of several ranks, all
    succeed or none."""
    models = list(models)
    settings.check_models(len(models))
    check_split_name(split)
    with ranks.all_or_none():
        device = pick_device(own_device(settings.device))
        opened = _open(data, split, ranks, settings)
    run = Run(opened, split, store, device, ranks, settings)
    if settings.skip_corrupt:
        run = with_fields(run, data=_without_corrupt(run))
    plans: list[ModelPlan] = []
    with ranks.all_or_none():
        probes = Probes(run)
        check_split(run, probes)
        for loader, macs in loaders(models, run):
            plans.append(_plan_model(run, loader, probes, macs))
            _check_distinct(plans)
    return run, _as_rank_0(run, plans)


def _open(data: str | Data, split: str, ranks: Ranks, settings: Settings) -> Data:
    """The data of the call; UsageError if an option does not fit them."""
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
            f"{data.what}: {option('views', placeholder='clips')} is for tensors [n, views, ..], and this gives images"
        )
    if settings.preprocess is not None and not data.images:
        raise UsageError(f"{data.what}: its items are tensors, not images; leave {option('preprocess')} out")
    return data


def _as_rank_0(run: Run, plans: list[ModelPlan]) -> list[ModelPlan]:
    """The same extraction on all ranks: last bits may differ between their GPUs, weights and statuses may not."""
    described = [(plan.card.model, plan.card.weights, plan.status, plan.identity, plan.layout) for plan in plans]
    by_rank = run.ranks.gather(described)
    for rank, other in enumerate(by_rank):
        for ours, theirs in zip(by_rank[0], other, strict=True):
            if ours[:3] != theirs[:3]:
                raise WiseCommitteeError(
                    f"rank {rank} has {theirs[0]} with weights {str(theirs[1])[:12]} ({theirs[2]}), rank 0 has "
                    f"{ours[0]} with {str(ours[1])[:12]} ({ours[2]}); all need the same models and the same store"
                )
    return [with_fields(p, identity=d[3], layout=d[4]) for p, d in zip(plans, by_rank[0], strict=True)]


def _without_corrupt(run: Run) -> Data:
    """The data without the images that cannot be decoded: decided once, for all models, passes and ranks."""
    data, ranks = run.data, run.ranks
    with ranks.all_or_none():
        share = data.find_corrupt(ranks.rank, ranks.count)
    corrupt = [unit for part in ranks.gather(share) for unit in part]
    if not corrupt:
        return data
    data = data.without_corrupt(corrupt)
    shown = ", ".join(map(str, data.corrupt[:10])) + (", .." if len(data.corrupt) > 10 else "")
    if ranks.rank == 0:
        warnings.warn(
            f"{data.what}: {len(data.corrupt):,} images cannot be decoded and are left out for every model: {shown}",
            stacklevel=5,
        )
    return data


def _plan_model(run: Run, load: Callable[[], LoadedModel], probes: Probes, declared_macs: int | None) -> ModelPlan:
    loaded = load()
    data, settings = run.data, run.settings
    what = f"{loaded.name} in {run.split}"
    preprocess = loaded.preprocess if data.images else None
    probe = probes(preprocess)
    check_size(run, loaded, probe.inputs.shape, what)
    with Forward(loaded.module, what, run.device, precision=settings.precision) as forward:
        logits = forward(probe.inputs, probe.unit_ids)
        check_steady(forward, probe, logits, what)
        layout = "contiguous" if settings.layout == "auto" else settings.layout
        if settings.layout == "auto" and run.device.type == "cuda":
            layout = forward.pick_layout(probes(preprocess, settings.batch_size).inputs)
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        warnings.warn(
            f"{what}: its outputs look like probabilities; extract logits, without a final softmax", stacklevel=5
        )
    outputs = logits.shape[1]
    columns = columns_of_classes(run, loaded, outputs, what)
    logits = logits if columns is None else logits[:, columns]
    known = data.known()
    checks.check_labels(probe.labels if known is None else known[1], logits.shape[1], what)
    macs = declared_macs if declared_macs is not None else count_macs(loaded.module, probe.inputs, loaded.name)
    card = describe(run, loaded, preprocess, probe.inputs.shape, macs, outputs, columns)
    run.store.check_siblings(run.split, card, logits.shape[1])
    committed = run.store.committed(run.split, card.model, replace=settings.replace)
    status = "added" if committed is None else "replaced"
    if committed is not None and not settings.replace:
        status = compare(run, committed, card, probe, logits)
    seen = hashlib.sha256(probe.inputs.cpu().numpy().tobytes() + logits.tobytes()).hexdigest()
    identity = f"{run.device.type} {settings.batch_size} {data.limit} {layout} {seen}"
    return ModelPlan(load, card, outputs, columns, layout, identity, status, preprocess)


def _check_distinct(plans: Sequence[ModelPlan]) -> None:
    new = plans[-1]
    for other in plans[:-1]:
        if other.card.model == new.card.model:
            raise UsageError(
                f"two models are called {new.card.model!r}; tell them apart with "
                f"{option('names', flag='name')}, one for each model"
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
