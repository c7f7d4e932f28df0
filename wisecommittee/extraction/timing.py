"""Measured cost of a forward pass: latency of one unit, and time per unit in batches. Medians, with their quartiles."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import CostError, StoreError, UsageError, WiseCommitteeError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.macs import count_macs, floating_dtype
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.run.forward import pick_device
from wisecommittee.store import LogitStore

WARM_UP = 3  # passes at least; kernels are chosen and caches filled in the first ones
LEAST_RUNS, MOST_RUNS = 5, 2000
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Spread:
    """Lower quartile, median and upper quartile of measured milliseconds, and how often it was measured."""

    q1: float
    median: float
    q3: float
    runs: int


@dataclass(frozen=True, slots=True)
class Timing:
    """A model measured on a device.

    latency : ms of a pass over one unit; batch : ms per unit in passes over batch_size units;
    input_shape : of one unit; macs : multiply-adds per unit, None where they cannot be counted.
    """

    model: str
    origin: str
    input_shape: tuple[int, ...]
    params: int
    macs: int | None
    batch_size: int
    latency: Spread
    batch: Spread
    device: str
    threads: int
    torch: str

    @property
    def throughput(self) -> float:
        """Units per second in batches."""
        return 1e3 / self.batch.median

    def costs(self) -> dict[str, float]:
        """For a card: six digits, which is more than a clock gives."""
        return {"latency_ms": rounded(self.latency.median), "batch_ms": rounded(self.batch.median)}

    def conditions(self) -> dict[str, Any]:
        """For a card's meta: how it was measured."""
        return {
            "device": self.device,
            "threads": self.threads,
            "torch": self.torch,
            "batch_size": self.batch_size,
            "latency_ms_quartiles": [rounded(self.latency.q1), rounded(self.latency.q3)],
            "batch_ms_quartiles": [rounded(self.batch.q1), rounded(self.batch.q3)],
            "runs": [self.latency.runs, self.batch.runs],
        }

    def to_json(self) -> dict[str, Any]:
        facts = {"model": self.model, "origin": self.origin, "input_shape": list(self.input_shape)}
        counts = {"params": self.params, "flops": self.macs, "throughput": rounded(self.throughput)}
        return {**facts, **counts, **self.costs(), **self.conditions()}


def bench_models(
    models: Iterable[str | LoadedModel],
    *,
    batch_size: int = 64,
    device: str = "auto",
    seconds: float = 1.0,
    names: Sequence[str] | None = None,
    sizes: Sequence[int] = (),
    views: Sequence[str] = (),
    input_size: tuple[int, ...] | None = None,
    random_weights: bool = False,
    store: LogitStore | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> list[Timing]:
    """Measure models one after the other, about 2 x `seconds` each, on random inputs.

    names : one per model; sizes : measure each model at these input sizes instead of its own; views : and with each
    of these; input_size : one unit's shape for models that do not say theirs. With a store the cards called so get the
    costs latency_ms and batch_ms, and the conditions in meta["timing"], in one split or in every split that has the
    model; everything is looked up before anything is measured. Passes are float32 and contiguous, as loaded.
    """
    models = list(models)
    if not models:
        raise UsageError("no model to measure; name at least one")
    if names and len(names) != len(models):
        raise UsageError(f"{len(names)} values of --name for {len(models)} models; give one for each model, in order")
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size}: expected at least 1")
    if not 0 < seconds <= 3600:
        raise UsageError(f"{seconds} seconds of measuring: expected a number above 0")
    target = pick_device(device)
    if store is not None and split is not None:
        store.require_split(split)
    plans: list[tuple[LoadedModel, tuple[int, ...], list[tuple[str, StoredCard]]]] = []
    for i, model in enumerate(models):
        name = names[i] if names else None
        loaded = load_model(model, name, random_weights=random_weights) if isinstance(model, str) else model
        loaded = loaded.named(name) if name else loaded
        sized = [loaded.at_size(size) for size in sizes] or [loaded]
        for variant in [one.with_view(view) for one in sized for view in views] or sized:
            cards = [] if store is None else _cards(store, split, variant)
            plans.append((variant, _shape(variant, cards, input_size), cards))
    timings: list[Timing] = []
    for loaded, shape, cards in plans:
        if progress:
            progress("measured models", len(timings), len(plans))
        timing = measure(loaded, shape, target, batch_size, seconds)
        timings.append(timing)
        for where, _ in cards:
            assert store is not None
            store.update_card(where, store.card(loaded.name, where), partial(_timed, timing=timing))
    if progress:
        progress("measured models", len(timings), len(plans))
    return timings


def measure(
    loaded: LoadedModel, shape: tuple[int, ...], device: torch.device, batch_size: int, seconds: float
) -> Timing:
    """One model on random inputs [1, *shape] and [batch_size, *shape]."""
    module = loaded.module.to(device).eval()
    try:
        macs = count_macs(module, torch.empty(1, *shape), loaded.name)
    except CostError:
        macs = None
    try:
        latency = _spread(module, (1, *shape), device, seconds)
        batch = _spread(module, (batch_size, *shape), device, seconds)
    except torch.OutOfMemoryError as error:
        raise WiseCommitteeError(
            f"{loaded.name}: {device} ran out of memory at {batch_size} units; use a smaller --batch-size"
        ) from error
    except WiseCommitteeError:
        raise
    except Exception as error:
        raise WiseCommitteeError(
            f"{loaded.name}: its forward pass raised {type(error).__name__} on inputs of shape "
            f"{[batch_size, *shape]}: {error}; name the shape of one unit with --input-size"
        ) from error
    finally:
        module.to("cpu")
    return Timing(
        loaded.name,
        loaded.origin,
        shape,
        loaded.params,
        macs,
        batch_size,
        latency,
        batch,
        device_name(device),
        torch.get_num_threads(),
        torch.__version__,
    )


def _spread(module: nn.Module, shape: tuple[int, ...], device: torch.device, seconds: float) -> Spread:
    """Milliseconds per unit of passes over inputs of that shape [n, ..]; the device is waited for at each."""
    dtype = floating_dtype(module)
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    taken: list[float] = []
    with torch.inference_mode():
        _wait(device)
        started = time.perf_counter()
        warm = 0
        while warm < WARM_UP or time.perf_counter() - started < seconds / 5:
            module(inputs)
            _wait(device)
            warm += 1
        started = time.perf_counter()
        while len(taken) < LEAST_RUNS or (len(taken) < MOST_RUNS and time.perf_counter() - started < seconds):
            before = time.perf_counter()
            module(inputs)
            _wait(device)
            taken.append(time.perf_counter() - before)
    q1, median, q3 = np.quantile(np.array(taken) * 1e3 / shape[0], (0.25, 0.5, 0.75)).tolist()
    return Spread(q1, median, q3, len(taken))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    """The processor as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(errors="replace").splitlines() if device.type == "cpu" and listed.exists() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine() or device.type


def _cards(store: LogitStore, split: str | None, loaded: LoadedModel) -> list[tuple[str, StoredCard]]:
    """The model's cards by split; StoreError if there is none, or one of another model."""
    found = []
    for where in [split] if split else store.splits():
        if loaded.name in store.models(where):
            card = store.card(loaded.name, where)
            found.append((where, card))
            if card.params is not None and card.params != loaded.params:
                raise StoreError(
                    f"{loaded.name} in {where} has {card.params:,} parameters, {loaded.origin} has {loaded.params:,}; "
                    f"name the model that was extracted, or its name in the store with --name"
                )
    if not found:
        there = split or ", ".join(store.splits()) or "an empty store"
        raise StoreError(
            f"{loaded.name}: not in {there} of {store.files.uri}; extract it first, or give its name there with --name"
        )
    return found


def _timed(card: StoredCard, timing: Timing) -> StoredCard:
    return replace(card, costs={**card.costs, **timing.costs()}, meta={**card.meta, "timing": timing.conditions()})


def _shape(
    loaded: LoadedModel, cards: Sequence[tuple[str, StoredCard]], given: tuple[int, ...] | None
) -> tuple[int, ...]:
    """One unit's shape: of the model, of its card, or as given. They must agree."""
    known = loaded.unit_shape
    for where, card in cards:
        if card.input_size is not None and known is None:
            known = card.input_size
        elif card.input_size not in (None, known, loaded.input_size):  # a card may leave out the number of views
            raise StoreError(
                f"{loaded.name} in {where} ran on inputs of shape {list(card.input_size or ())}, "
                f"{loaded.origin} takes {list(known or ())}; choose with --sizes what was extracted"
            )
    if known is None and given is None:
        raise UsageError(
            f"{loaded.name}: {loaded.origin} does not say its input size; give one with --input-size 3,224,224"
        )
    return known or given or ()


def rounded(value: float) -> float:
    return float(f"{value:.6g}")
