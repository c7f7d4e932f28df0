"""The only training loop of the project.

A Method yields phases, one after another: a later one may use what an earlier one trained. A phase is a loss over
minibatches, optimisers with schedules, and hooks. The same seed gives the same weights on the same machine, interrupted
or not: every epoch draws its order, augmentation and dropout from (seed, phase, epoch) alone.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wisecommittee.errors import ContentError, DivergedError
from wisecommittee.extraction.run.settings import Progress
from wisecommittee.train.ranks import TrainingRanks, replicas
from wisecommittee.writing import written_whole

Minibatch = tuple[Tensor, ...]
CurveRow = dict[str, Any]  # of the learning curve: phase, epoch, loss, accuracy, .., lr, seconds
Schedule = Callable[[float], float]  # epochs elapsed, fractional -> factor on the initial lr


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a phase. time : epochs elapsed, fractional; schedules see it before the step, hooks after it."""

    epoch: int
    index: int
    steps: int

    @property
    def time(self) -> float:
        return self.epoch + self.index / self.steps

    @property
    def ends_epoch(self) -> bool:
        return self.index == self.steps


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training.

    modules : all modules that are in train mode and saved, by name. Frozen predecessors and copies belong here if they
    must survive a restart; a hook puts a module into eval mode in `on_epoch`. batches : the minibatches of an epoch.
    loss : (batch, step) -> {"loss": scalar to minimise, and means over the batch to log, such as "accuracy"}.
    optimizers : each with the schedule of its lr; all of them step after one backward pass. on_epoch, on_step : called
    before each epoch, after each step; evaluate : figures added to the row of an epoch.
    """

    name: str
    modules: Mapping[str, nn.Module]
    batches: Batches
    loss: Callable[[Minibatch, Step], Mapping[str, Tensor]]
    optimizers: Sequence[tuple[Optimizer, Schedule]]
    epochs: int
    on_epoch: Callable[[int], None] | None = None
    on_step: Callable[[Step], None] | None = None
    evaluate: Callable[[], Mapping[str, float]] | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """curve : one row per phase and epoch; modules : {phase name: its modules}."""

    curve: list[CurveRow]
    modules: dict[str, Mapping[str, nn.Module]]


class Method(Protocol):
    """A method that `train` can run. key : text that changes whenever the result would; checkpoints of another key are
    refused."""

    @property
    def key(self) -> str: ...

    def phases(self) -> Iterable[Phase]: ...


class Batches(Protocol):
    """The minibatches of an epoch, shuffled by a generator. All have the same number of units except the last."""

    def __len__(self) -> int: ...

    def epoch(self, generator: torch.Generator, rank: int = 0, count: int = 1) -> Iterator[Minibatch]:
        """Yields units rank, rank + count, rank + 2 count, .. of each minibatch; together the ranks get every unit."""
        ...


@dataclass(frozen=True, slots=True)
class Minibatches:
    """Minibatches of aligned tensors [N, ..] in memory.

    augment : (x [n, ..], generator) -> x, applied to the first tensor.
    """

    tensors: Minibatch
    size: int
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.tensors[0]) / self.size)

    def epoch(self, generator: torch.Generator, rank: int = 0, count: int = 1) -> Iterator[Minibatch]:
        for rows in torch.randperm(len(self.tensors[0]), generator=generator).split(self.size):
            first, *others = (tensor[rows[rank::count]] for tensor in self.tensors)
            yield (self.augment(first, generator) if self.augment else first, *others)


def cosine(epochs: int) -> Schedule:
    """From 1 to 0 over half a cosine, per iteration."""
    return lambda time: 0.5 * (1 + math.cos(math.pi * min(1.0, time / epochs)))


def train(
    method: Method,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    mixed_precision: torch.dtype | None = None,
    checkpoints: Path | None = None,
    checkpoint_every: int = 10,
    progress: Progress | None = None,
    log: Callable[[CurveRow], None] | None = None,
) -> Trained:
    """Run every phase of a method, in order.

    checkpoints : folder with one file per phase, written every `checkpoint_every` epochs and at the end of a phase;
    a phase with a checkpoint is not trained again. mixed_precision : torch.bfloat16 or torch.float16. Under torchrun
    every rank calls this with the same arguments.
    """
    device = torch.device(device)
    done = Trained([], {})
    with replicas(device) as ranks:
        run = _Run(method.key, device, mixed_precision, ranks)
        for number, phase in enumerate(method.phases()):
            for module in phase.modules.values():
                module.to(device)
            scaler = torch.amp.GradScaler(device.type, enabled=mixed_precision == torch.float16)
            file = checkpoints / f"{number:02d}-{phase.name.replace('/', '_')}.pt" if checkpoints else None
            curve = _restore(run, phase, scaler, file)
            ranks.equalise(phase.modules.values())
            rates = [[group["initial_lr"] for group in optimizer.param_groups] for optimizer, _ in phase.optimizers]
            for epoch in range(len(curve), phase.epochs):
                if progress:
                    progress(f"train {phase.name}", epoch, phase.epochs)
                with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                    row = _epoch(run, phase, epoch, _seed(seed, number, epoch), rates, scaler)
                curve.append(row)
                if log:
                    log(row)
                if file and ranks.rank == 0 and (len(curve) == phase.epochs or len(curve) % checkpoint_every == 0):
                    _save(phase, scaler, file, method.key, curve)
            if progress:
                progress(f"train {phase.name}", phase.epochs, phase.epochs)
            done.curve.extend(curve)
            done.modules[phase.name] = phase.modules
    return done


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of a training that all its phases share. key : of the method."""

    key: str
    device: torch.device
    mixed_precision: torch.dtype | None
    ranks: TrainingRanks


def _epoch(
    run: _Run, phase: Phase, epoch: int, draw: int, rates: list[list[float]], scaler: torch.amp.GradScaler
) -> CurveRow:
    """The row of one epoch. draw : seed of its order, augmentation and dropout; rates : initial lr of every group of
    parameters of every optimizer."""
    started, device, ranks = time.perf_counter(), run.device, run.ranks
    torch.manual_seed(draw + ranks.rank)
    for module in phase.modules.values():
        module.train()
    if phase.on_epoch:
        phase.on_epoch(epoch)
    sums: dict[str, Tensor] = {}
    units, steps = 0, len(phase.batches)
    batches = iter(phase.batches.epoch(torch.Generator().manual_seed(draw), ranks.rank, ranks.count))
    optimizers = [optimizer for optimizer, _ in phase.optimizers]
    for index in range(steps):
        step = Step(epoch, index, steps)
        for (optimizer, schedule), initial in zip(phase.optimizers, rates, strict=True):
            for group, rate in zip(optimizer.param_groups, initial, strict=True):
                group["lr"] = rate * schedule(step.time)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        batch = tuple(tensor.to(device, non_blocking=True) for tensor in next(batches, ()))
        if n := len(batch[0]) if batch else 0:  # the last minibatch may have fewer units than there are ranks
            with torch.autocast(device.type, dtype=run.mixed_precision, enabled=run.mixed_precision is not None):
                figures = phase.loss(batch, step)
            scaler.scale(figures["loss"]).backward()
            units += n
            for name, value in figures.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() * n
        ranks.average_gradients(optimizers, n)
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        if phase.on_step:
            phase.on_step(Step(epoch, index + 1, steps))
    ranks.equalise(phase.modules.values())  # statistics of batch normalisation
    totals, units = ranks.total(sums, units, device)
    row: CurveRow = {"phase": phase.name, "epoch": epoch + 1}
    row |= {name: total / units for name, total in totals.items()}
    if not math.isfinite(row["loss"]):
        raise DivergedError(
            f"{phase.name}: the loss became {row['loss']} in epoch {epoch + 1}; use a lower learning rate"
        )
    if phase.evaluate:
        for module in phase.modules.values():
            module.eval()
        with torch.inference_mode():
            row |= phase.evaluate()
    return row | {"lr": phase.optimizers[0][0].param_groups[0]["lr"], "seconds": time.perf_counter() - started}


def _seed(*numbers: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7], "big")


# Checkpoints: state dicts and numbers only, so that they load without running code


def _restore(run: _Run, phase: Phase, scaler: torch.amp.GradScaler, file: Path | None) -> list[CurveRow]:
    """Set the phase to its checkpoint if there is one; returns the rows of its learning curve so far."""
    for optimizer, _ in phase.optimizers:
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
    data = run.ranks.read(file) if file else None
    if data is None:
        return []
    state = load_checkpoint(data, str(file), run.key, run.device)
    try:
        for name, module in phase.modules.items():
            module.load_state_dict(state["modules"][name])
        for (optimizer, _), saved in zip(phase.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        scaler.load_state_dict(state["scaler"])
        return list(state["curve"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise ContentError(f"{str(file)!r} does not fit phase {phase.name}; remove it to train again") from error


def load_checkpoint(data: bytes, name: str, key: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    try:
        state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        recorded = state["key"]
    except Exception as error:
        raise ContentError(f"{name!r} is no checkpoint of this version; remove it to train again") from error
    if recorded != key:
        raise ContentError(f"{name!r} belongs to other settings; name another folder of checkpoints, or remove it")
    return state


def _save(phase: Phase, scaler: torch.amp.GradScaler, file: Path, key: str, curve: list[CurveRow]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "key": key,
        "modules": {name: module.state_dict() for name, module in phase.modules.items()},
        "optimizers": [optimizer.state_dict() for optimizer, _ in phase.optimizers],
        "scaler": scaler.state_dict(),
        "curve": curve,
    }
    with written_whole(file) as opened:
        torch.save(state, opened)
