"""Measured cost of a forward pass: latency of one unit, and time per unit in batches. Medians, with their quartiles."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wisecommittee.errors import CostError, WiseCommitteeError, option
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.macs import count_macs, floating_dtype

WARM_UP = 3  # passes at least; kernels are chosen and caches filled in the first ones
LEAST_RUNS, MOST_RUNS = 5, 2000


@dataclass(frozen=True, slots=True)
class Quartiles:
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
    latency: Quartiles
    batch: Quartiles
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
        latency = _quartiles(module, (1, *shape), device, seconds)
        batch = _quartiles(module, (batch_size, *shape), device, seconds)
    except torch.OutOfMemoryError as error:
        raise WiseCommitteeError(
            f"{loaded.name}: {device} ran out of memory at {batch_size} units; use a smaller batch size"
        ) from error
    except WiseCommitteeError:
        raise
    except Exception as error:
        raise WiseCommitteeError(
            f"{loaded.name}: its forward pass raised {type(error).__name__} on inputs of shape "
            f"{[batch_size, *shape]}: {error}; name the shape of one unit with {option('input_size')}"
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


def _quartiles(module: nn.Module, shape: tuple[int, ...], device: torch.device, seconds: float) -> Quartiles:
    """Milliseconds per unit of passes over inputs of that shape [n, ..]; the device is waited for at each."""
    dtype = floating_dtype(module)
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    taken: list[float] = []
    with torch.inference_mode():
        wait(device)
        started = time.perf_counter()
        warm = 0
        while warm < WARM_UP or time.perf_counter() - started < seconds / 5:
            module(inputs)
            wait(device)
            warm += 1
        started = time.perf_counter()
        while len(taken) < LEAST_RUNS or (len(taken) < MOST_RUNS and time.perf_counter() - started < seconds):
            before = time.perf_counter()
            module(inputs)
            wait(device)
            taken.append(time.perf_counter() - before)
    q1, median, q3 = np.quantile(np.array(taken) * 1e3 / shape[0], (0.25, 0.5, 0.75)).tolist()
    return Quartiles(q1, median, q3, len(taken))


def wait(device: torch.device) -> None:
    """Until the device has finished what it was given."""
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


def rounded(value: float) -> float:
    return float(f"{value:.6g}")
