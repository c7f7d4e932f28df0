"""Counters, gauges and histograms, in the text exposition format of Prometheus.

References
----------
Prometheus, "Exposition formats", text format version 0.0.4:
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
UNITS = tuple(float(2**k) for k in range(11))
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]  # suffix of the name, labels, value


class Metric(Protocol):
    """Name, text of help, kind, and the samples of now."""

    name: str
    says: str
    kind: str

    def samples(self) -> Iterator[Sample]: ...


class Counter:
    """Sums that only grow, by labels."""

    kind = "counter"

    def __init__(self, name: str, says: str) -> None:
        self.name, self.says = name, says
        self.values: dict[Labels, float] = {}

    def add(self, amount: float = 1, **labels: object) -> None:
        key = _labels(labels)
        self.values[key] = self.values.get(key, 0) + amount

    def samples(self) -> Iterator[Sample]:
        yield from (("", labels, value) for labels, value in list(self.values.items()))


class Gauge:
    """A value read at the time of the question. read : gives it."""

    kind = "gauge"

    def __init__(self, name: str, says: str, read: Callable[[], float]) -> None:
        self.name, self.says, self.read = name, says, read

    def samples(self) -> Iterator[Sample]:
        yield "", (), self.read()


class Histogram:
    """Counts of observations up to each bound, by labels. bounds : ascending; infinity follows."""

    kind = "histogram"

    def __init__(self, name: str, says: str, bounds: Sequence[float]) -> None:
        self.name, self.says, self.bounds = name, says, tuple(bounds)
        self.counts: dict[Labels, list[int]] = {}
        self.sums: dict[Labels, float] = {}

    def observe(self, value: float, **labels: object) -> None:
        key = _labels(labels)
        counts = self.counts.setdefault(key, [0] * (len(self.bounds) + 1))
        counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sums[key] = self.sums.get(key, 0.0) + value

    def samples(self) -> Iterator[Sample]:
        for labels, counts in list(self.counts.items()):
            total = 0
            for bound, count in zip((*self.bounds, float("inf")), counts, strict=True):
                total += count
                yield "_bucket", (*labels, ("le", _number(bound))), total
            yield "_sum", labels, self.sums[labels]
            yield "_count", labels, total


def exposition(metrics: Iterable[Metric]) -> str:
    """The text of all metrics."""
    lines = []
    for metric in metrics:
        says = metric.says.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {metric.name} {says}", f"# TYPE {metric.name} {metric.kind}"]
        for suffix, labels, value in metric.samples():
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            lines.append(f"{metric.name}{suffix}{f'{{{inner}}}' if inner else ''} {_number(value)}")
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, object]) -> Labels:
    return tuple((name, str(value)) for name, value in labels.items())


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
