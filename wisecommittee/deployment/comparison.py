"""Measurements of a committee and of single models, as values and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wisecommittee.deployment.realised import AtBatchSize
from wisecommittee.extraction.timing import Quartiles, rounded


@dataclass(frozen=True, slots=True)
class Measured:
    """A committee or a single model on the units of a comparison.

    Parameters
    ----------
    model : str
        Label of the committee.
    accuracy : float
    flops : float or None
        Average multiply-adds per unit that are run; None if those of a member are unknown.
    latency : Quartiles
        Milliseconds of a unit that runs by itself, on average over units.
    batch : Quartiles
        Milliseconds per unit in offline batches.
    exit_ratios : tuple of float
        Share of the units that exit at each stage.
    charged : float or None
        Average multiply-adds per unit that an evaluation charges. It counts blocks that members have in common once;
        `flops` is more where the modules do not say what their blocks are.
    """

    model: str
    accuracy: float
    flops: float | None
    latency: Quartiles
    batch: Quartiles
    exit_ratios: tuple[float, ...]
    charged: float | None = None

    @property
    def throughput(self) -> float:
        """Units per second in batches."""
        return 1e3 / self.batch.median

    def to_json(self) -> dict[str, Any]:
        spreads = {"latency_ms": self.latency, "batch_ms": self.batch}
        return {
            "model": self.model,
            "accuracy": self.accuracy,
            "flops": self.flops,
            "charged_flops": self.charged,
            **{name: rounded(spread.median) for name, spread in spreads.items()},
            **{f"{name}_quartiles": [rounded(spread.q1), rounded(spread.q3)] for name, spread in spreads.items()},
            "throughput": rounded(self.throughput),
            "runs": [self.latency.runs, self.batch.runs],
            "exit_ratios": list(self.exit_ratios),
        }


@dataclass(frozen=True, slots=True)
class Speedup:
    """How many times cheaper and faster a committee is than a single model; above 1 is better."""

    flops: float | None
    latency: float
    throughput: float

    @property
    def realised(self) -> tuple[float, float] | None:
        """(latency, throughput): their speed-ups divided by the speed-up in multiply-adds; None if that is unknown."""
        return None if self.flops is None else (self.latency / self.flops, self.throughput / self.flops)

    def to_json(self) -> dict[str, float | None]:
        latency, throughput = self.realised or (None, None)
        named = {"flops": self.flops, "latency": self.latency, "throughput": self.throughput}
        shares = {"latency_realised": latency, "throughput_realised": throughput}
        return {name: value and rounded(value) for name, value in (named | shares).items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A committee and the single models that it is compared with, on `units` units of a split.

    at_sizes : their times in calls of several sizes.
    """

    committee: Measured
    singles: tuple[Measured, ...]
    split: str
    units: int
    batch_size: int
    device: str
    threads: int
    torch: str
    at_sizes: tuple[AtBatchSize, ...] = ()

    def speedup(self, single: Measured) -> Speedup:
        """The speed-up of the committee over one of the single models."""
        ours = self.committee
        flops = None if ours.flops is None or single.flops is None else single.flops / ours.flops
        return Speedup(flops, single.latency.median / ours.latency.median, ours.throughput / single.throughput)

    def to_json(self) -> dict[str, Any]:
        conditions = {"device": self.device, "threads": self.threads, "torch": self.torch}
        return {
            "split": self.split,
            "units": self.units,
            "batch_size": self.batch_size,
            **conditions,
            "committee": self.committee.to_json(),
            "singles": [{**s.to_json(), "speedup": self.speedup(s).to_json()} for s in self.singles],
            "batch_sizes": [each.to_json() for each in self.at_sizes],
        }
