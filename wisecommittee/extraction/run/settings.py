"""The options of an extraction as one value, with defaults and checks; and how an extraction reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wisecommittee.errors import UsageError, option
from wisecommittee.extraction.run.forward import LAYOUTS, PRECISIONS
from wisecommittee.option_checks import flag, one_of, text, whole
from wisecommittee.options import check_fields, described

Progress = Callable[[str, int, int | None], None]  # (task, units done, units in total or None)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option of an extraction.

    Raises
    ------
    UsageError
        A value that no extraction can have.
    """

    device: str = described("auto", "auto, cuda, cuda:1, mps or cpu.", check=text)
    batch_size: int = described(256, "Units in a forward pass.", check=whole(1))
    dtype: str = described("float32", "Of the stored logits: float32 or float16.", check=one_of("float32", "float16"))
    precision: str = described(
        "float32", "Of the forward pass: float32, or bfloat16 or float16 for autocast.", check=one_of(*PRECISIONS)
    )
    layout: str = described(
        "auto",
        "Of images: contiguous, channels_last, or auto: the faster one, measured, on a GPU; contiguous elsewhere.",
        check=one_of(*LAYOUTS),
    )
    macs: Sequence[int] | None = described(
        None, "Multiply-adds per unit, a number for each model.", shown="they are counted"
    )
    training_costs: Sequence[float] | None = described(
        None, "Multiply-adds spent on training, a number for each model.", shown="what the source of the model knows"
    )
    names: Sequence[str] | None = described(None, "Names in the store, one for each model.", shown="the sources' names")
    random_weights: bool = described(False, "Load no weights.", check=flag)
    classes: str | Path | None = described(None, "File with the class names of the models' outputs.")
    preprocess: str | None = described(
        None, "Spec of the model whose preprocessing serves the models that bring none.", check=text
    )
    sizes: Sequence[int] | None = described(None, "Input sizes in pixels: every model runs at each of them.")
    views: Sequence[str] | None = described(
        None, "Views of a unit (center, flip, fivecrop, tencrop, clips): every model runs with each of them."
    )
    replace: bool = described(False, "Exchange models that are in the split with other content.", check=flag)
    limit: int | None = described(None, "Most units; of every class its share.", shown="all", check=whole(1))
    workers: int = described(0, "Processes that load data.", check=whole(0))
    skip_corrupt: bool = described(False, "Leave images that cannot be decoded out, for all models.", check=flag)

    def __post_init__(self) -> None:
        check_fields(self)
        if not all(0 <= cost < float("inf") for cost in self.training_costs or ()):
            raise UsageError(f"training cost {self.training_costs}: expected numbers of multiply-adds, 0 or more")

    def check_models(self, count: int) -> None:
        """One name and one number of multiply-adds for each model, or none."""
        if not count:
            raise UsageError("no model to extract; name at least one")
        for name, command, values in (
            ("names", "name", self.names),
            ("macs", "macs", self.macs),
            ("training_costs", "training_cost", self.training_costs),
        ):
            if values and len(values) != count:
                raise UsageError(
                    f"{len(values)} values of "
                    f"{option(name, flag=command)} for {count} models; give one for each model, "
                    f"in order"
                )
        if self.macs and (self.sizes or self.views):
            raise UsageError(
                f"{option('macs')} declares one number per model; with {option('sizes')} or "
                f"{option('views')} they have to be counted"
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
