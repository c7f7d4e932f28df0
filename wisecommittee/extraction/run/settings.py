"""The options of an extraction as one value, with defaults and checks; and how an extraction reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.extraction.run.forward import LAYOUTS, PRECISIONS

Progress = Callable[[str, int, int | None], None]  # (task, units done, units in total or None)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option of `extract` and `estimate`.

    Parameters
    ----------
    device
        'auto', 'cuda', 'cuda:1', 'mps' or 'cpu'.
    batch_size
        Units in a forward pass.
    dtype
        Of the stored logits: 'float32' or 'float16'.
    precision
        Of the forward pass: 'float32', or 'bfloat16' or 'float16' for autocast.
    layout
        Of images: 'contiguous', 'channels_last', or 'auto': the faster one, measured, on a GPU; contiguous elsewhere.
    macs
        Multiply-adds per unit, one number for each model, instead of the counted ones.
    training_costs
        Multiply-adds spent on training, one number for each model, instead of what the source knows.
    names
        Names in the store, one for each model, instead of the sources' names.
    random_weights
        Load no weights.
    classes
        File with the class names of the models' outputs.
    preprocess
        Spec of the model whose preprocessing serves the models that bring none.
    sizes
        Input sizes in pixels: every model runs at each of them.
    views
        Views of a unit ('center', 'flip', 'fivecrop', 'tencrop', 'clips'): every model runs with each of them.
    replace
        Exchange models that are in the split with other content.
    limit
        Most units, of every class its share.
    workers
        Processes that load data.
    skip_corrupt
        Leave images that cannot be decoded out, for all models.

    Raises
    ------
    UsageError
        A value that no extraction can have.
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
            ("--name", self.names),
            ("--macs", self.macs),
            ("--training-cost", self.training_costs),
        ):
            if values and len(values) != count:
                raise UsageError(
                    f"{len(values)} values of {noun} for {count} models; give one for each model, in order"
                )
        if self.macs and (self.sizes or self.views):
            raise UsageError("--macs declares one number per model; with --sizes or --views they have to be counted")


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
