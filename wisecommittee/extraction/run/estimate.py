"""An estimate of the time and space of an extraction, from two batches of every pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wisecommittee.extraction.data.batch import Batch
from wisecommittee.extraction.run.forward import Forward
from wisecommittee.extraction.run.plan import ModelPlan, Run
from wisecommittee.extraction.run.stream import passes

PROBED_BATCHES = 2


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """One model. bytes : of its logits, uncompressed; seconds : of its forward passes; None where units are unknown."""

    model: str
    input_size: tuple[int, ...] | None
    macs: float
    params: int | None
    classes: int
    status: str
    bytes: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class ExtractionEstimate:
    """The whole call. passes : over the data; seconds : reading and forward passes, on all ranks together."""

    units: int | None
    passes: int
    bytes: int | None
    seconds: float | None
    models: tuple[ModelEstimate, ...]


def measure(run: Run, plans: Sequence[ModelPlan]) -> ExtractionEstimate:
    """Reads and runs the first batches of every pass."""
    units, ranks = run.data.units, run.ranks.count
    forward_seconds: dict[str, float] = {}  # per unit
    total = 0.0
    groups = passes(plans)
    for group in groups:
        batches, reading = _read(run, group[0])
        for plan in group:
            forward_seconds[plan.card.model] = _forward(run, plan, batches)
        running = sum(forward_seconds[plan.card.model] for plan in group)
        total += max(running, reading) if run.data.workers else running + reading
    size = 4 if run.settings.dtype == "float32" else 2

    def described(plan: ModelPlan) -> ModelEstimate:
        card = plan.card
        seconds = forward_seconds.get(card.model, 0.0)
        return ModelEstimate(
            card.model,
            card.input_size,
            sum(card.blocks.values()),
            card.params,
            plan.classes,
            plan.status,
            None if units is None else units * plan.classes * size * plan.is_due,
            None if units is None else units * seconds / ranks,
        )

    models = tuple(described(plan) for plan in plans)
    if units is None:
        return ExtractionEstimate(None, len(groups), None, None, models)
    return ExtractionEstimate(units, len(groups), sum(m.bytes or 0 for m in models), units * total / ranks, models)


def _read(run: Run, plan: ModelPlan) -> tuple[list[Batch], float]:
    """The first batches and the seconds to read a unit."""
    size = run.settings.batch_size
    started = time.perf_counter()
    batches = list(run.data.batches(size, stop=PROBED_BATCHES * size, preprocess=plan.preprocess))
    if run.data.units is None:
        batches = batches[:PROBED_BATCHES]
    return batches, (time.perf_counter() - started) / sum(map(len, batches))


def _forward(run: Run, plan: ModelPlan, batches: Sequence[Batch]) -> float:
    """Seconds a unit takes in the model, after a first batch that warms up."""
    loaded = plan.load()
    what = f"{plan.card.model} in {run.split}"
    with Forward(loaded.module, what, run.device, precision=run.settings.precision, layout=plan.layout) as forward:
        forward(batches[0].inputs)
        started = time.perf_counter()
        for batch in batches:
            forward(batch.inputs, batch.unit_ids, batch.start)
        if run.device.type == "cuda":
            torch.cuda.synchronize(run.device)
        return (time.perf_counter() - started) / sum(map(len, batches))
