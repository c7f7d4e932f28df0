"""What a call of `extract` can be told, with defaults and checks; and what its parts report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.extraction.run.forward import LAYOUTS, PRECISIONS

Progress = Callable[[str, int, int | None], None]  # (task, units done, units in total or None)


class Options(TypedDict, total=False):
    """Every option of `extract` and `estimate`; meanings and defaults are those of Settings."""

    device: str
    batch_size: int
    dtype: str
    precision: str
    layout: str
    macs: Sequence[int] | None
    training_costs: Sequence[float] | None
    names: Sequence[str] | None
    random_weights: bool
    classes: str | Path | None
    preprocess: str | None
    sizes: Sequence[int] | None
    views: Sequence[str] | None
    replace: bool
    limit: int | None
    workers: int
    skip_corrupt: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """
    device : 'auto', 'cuda', 'cuda:1', 'mps' or 'cpu'; batch_size : units in a forward pass; dtype : of the stored
    logits; precision : of the forward pass, 'float32', or 'bfloat16' or 'float16' for autocast; layout : of images,
    'contiguous', 'channels_last', or 'auto': whichever is measured to be faster on a GPU, contiguous elsewhere;
    names, macs, training_costs : one per model, instead of the default name, the counted multiply-adds and what the
    source knows of those of training; random_weights : load none; classes : a file with the class names of the models'
    outputs; preprocess : spec of the model whose preprocessing serves those that bring none; sizes, views : every model
    at each of these input sizes, and with each of these views; replace : exchange models of the split; limit : units at
    most, of every class its share; workers : processes that load data; skip_corrupt : leave images that cannot be
    decoded out, for all models.
    """

    device: str = "auto"
    batch_size: int = 256
    dtype: str = "float32"
    precision: str = "float32"
    layout: str = "auto"
    macs: Sequence[int] | None = None
    training_costs: Sequence[float] | None = None
    names: Sequence[str] | None = None
    random_weights: bool = False
    classes: str | Path | None = None
    preprocess: str | None = None
    sizes: Sequence[int] | None = None
    views: Sequence[str] | None = None
    replace: bool = False
    limit: int | None = None
    workers: int = 0
    skip_corrupt: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch size {self.batch_size}: expected at least 1")
        if self.dtype not in ("float32", "float16"):
            raise UsageError(f"dtype {self.dtype!r}: a store holds float32 or float16")
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)
        if self.layout not in LAYOUTS:
            raise UnknownNameError("layout", self.layout, LAYOUTS)
        if not all(0 <= cost < float("inf") for cost in self.training_costs or ()):
            raise UsageError(f"training cost {self.training_costs}: expected numbers of multiply-adds, 0 or more")
        if self.workers < 0:
            raise UsageError(f"{self.workers} workers: expected 0 or more")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit}: expected at least 1 unit")

    def check_models(self, count: int) -> None:
        """One name and one number of multiply-adds for each model, or none."""
        if not count:
            raise UsageError("no model to extract; name at least one")
        for noun, values in (
            (f"{option('names', flag='name')}", self.names),
            (f"{option('macs')}", self.macs),
            (f"{option('training_costs', flag='training-cost')}", self.training_costs),
        ):
            if values and len(values) != count:
                raise UsageError(
                    f"{len(values)} values of {noun} for {count} models; give one for each model, in order"
                )
        if self.macs and (self.sizes or self.views):
            raise UsageError(
                f"{option('macs')} declares one number per model; with {option('sizes')} or {option('views')} they "
                "have to be counted"
            )


class Meter:
    """Reports progress per model and, for several models, for all of them, weighted by their multiply-adds."""

    def __init__(self, progress: Progress | None, split: str, costs: dict[str, float], units: int | None) -> None:
        self._progress, self._costs, self._units = progress, costs, units
        self._all = f"all {len(costs)} models in {split}"
        self._done = dict.fromkeys(costs, 0)

    def __call__(self, task: str, done: int, *, finished: bool = False) -> None:
        if self._progress is None:
            return
        self._progress(task, done, done if finished else self._units)
        self._done[task] = done
        if len(self._costs) > 1 and self._units:
            share = sum(self._costs[t] * n for t, n in self._done.items()) / (self._units * sum(self._costs.values()))
            self._progress(self._all, round(share * self._units), self._units)
