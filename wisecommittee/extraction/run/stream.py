"""Phase two of an extraction: one pass over the data for models that see the same tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import ContentError, OutOfMemoryError
from wisecommittee.extraction.data.batch import Batch
from wisecommittee.extraction.run.forward import Forward, is_out_of_memory
from wisecommittee.extraction.run.outbox import Outbox
from wisecommittee.extraction.run.plan import ModelPlan, Run
from wisecommittee.extraction.run.settings import Meter
from wisecommittee.store.writer import Writer


def passes(plans: Sequence[ModelPlan]) -> list[list[ModelPlan]]:
    """The models that have to run, by group: models that see the same tensors share a pass over the data."""
    groups: dict[str | None, list[ModelPlan]] = {}
    for plan in plans:
        if plan.is_due:
            groups.setdefault(plan.group, []).append(plan)
    return list(groups.values())


@dataclass(slots=True)
class _Stream:
    """A model in this pass. done : number of the first unit of the split that its writer does not have yet."""

    plan: ModelPlan
    forward: Forward
    writer: Writer
    done: int


def run_pass(run: Run, plans: Sequence[ModelPlan], meter: Meter) -> tuple[dict[str, StoredCard], list[ModelPlan]]:
    """The committed cards by model, and the models that did not fit on the device beside the others."""
    with ExitStack() as stack:
        forwards: list[Forward] = []
        streams: list[_Stream] = []
        with run.ranks.all_or_none():
            forwards = _load(run, plans, stack)
        fitting = min(run.ranks.gather(len(forwards)))
        with run.ranks.all_or_none():  # no rank commits before all have begun
            for plan, forward in zip(plans[:fitting], forwards, strict=False):
                writer = stack.enter_context(_writer(run, plan))
                streams.append(_Stream(plan, forward, writer, _shard(run).start + writer.rows_done))
        with run.ranks.all_or_none():
            _stream(run, streams, meter)
        cards = run.ranks.commit([stream.writer for stream in streams])
    for stream in streams:
        meter(stream.forward.what, stream.done - _shard(run).start, finished=True)
    return {card.model: card for card in cards}, list(plans[fitting:])


def _shard(run: Run) -> range:
    return run.ranks.shard(run.data.units, run.settings.batch_size)


def _load(run: Run, plans: Sequence[ModelPlan], stack: ExitStack) -> list[Forward]:
    """Load as many of the models onto the device as it has room for, at least one."""
    forwards: list[Forward] = []
    for plan in plans:
        loaded = plan.load()
        what = f"{plan.card.model} in {run.split}"
        if loaded.weights != plan.card.weights:
            raise ContentError(
                f"{what}: its weights differ from one loading to the next; "
                f"store them and name the file, {plan.card.origin}@FILE"
            )
        forward = Forward(loaded.module, what, run.device, precision=run.settings.precision, layout=plan.layout)
        try:
            forwards.append(stack.enter_context(forward))
        except OutOfMemoryError:  # with fewer other models on the device its weights may fit
            if not forwards:
                raise
            break
    return forwards


def _writer(run: Run, plan: ModelPlan) -> Writer:
    return run.store.writer(
        plan.card,
        run.split,
        classes=plan.classes,
        identity=plan.identity,
        dtype=run.settings.dtype,
        replace=run.settings.replace,
        **run.ranks.writer_options,
    )


def _stream(run: Run, streams: Sequence[_Stream], meter: Meter) -> None:
    """Run every unit of this rank through every model that does not have its outputs yet."""
    shard = _shard(run)
    for stream in streams:
        meter(stream.forward.what, stream.done - shard.start)
    first = min(stream.done for stream in streams)
    batches: Iterator[Batch] = iter(())
    if first < shard.stop:
        batches = run.data.batches(
            run.settings.batch_size,
            skip=first,
            stop=shard.stop if run.ranks.count > 1 else None,
            preprocess=streams[0].plan.preprocess,
            pin=run.device.type == "cuda",
        )
    with Outbox() as outbox:
        for batch in batches:
            inputs = _moved(batch.inputs, run.device)
            for stream in streams:
                if batch.stop <= stream.done:
                    continue
                logits = stream.forward(inputs, batch.unit_ids, batch.start)
                if logits.shape[1] != stream.plan.outputs:
                    raise ContentError(
                        f"{stream.forward.what}: {logits.shape[1]} classes from row {batch.start}; "
                        f"expected {stream.plan.outputs}"
                    )
                new = slice(stream.done - batch.start, None)
                outbox.put(stream.writer, batch.unit_ids[new], batch.labels[new], stream.plan.chosen(logits[new]))
                stream.done = batch.stop
                meter(stream.forward.what, stream.done - shard.start)
        outbox.close()
    for stream in streams:
        stream.writer.finish()


def _moved(inputs: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The inputs on the device, once for all models; unmoved if the device has no room for the whole batch."""
    try:
        return inputs.to(device, non_blocking=True)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return inputs
