"""What the commands that train share: their options as one value, and how a training reports on the terminal."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

from . import options
from .console import err, progress
from .extract import follows, show

if TYPE_CHECKING:
    from wisecommittee.extraction.extract import Extracted
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import TrainingData
    from wisecommittee.train.run import TrainOptions
    from wisecommittee.train.supervised import Baseline, RecipeChanges, Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The options of every command that trains, as given. An option that they all get is a field here."""

    store: options.Store = None
    data: options.TrainingData = "digits"
    backbone: options.Backbone = None
    label_noise: options.LabelNoise = 0.0
    pixel_noise: options.PixelNoise = None
    preset: options.Preset = None
    epochs: options.Epochs = None
    batch_size: options.BatchSize = None
    lr: options.Rate = None
    seed: options.Seed = 0
    workers: options.Workers = 0
    device: options.Device = "auto"
    precision: options.Precision = "float32"
    checkpoints: options.Checkpoints = None
    curves: options.Curves = None
    replace: options.Replace = False
    as_json: options.Json = False

    def open_store(self) -> LogitStore:
        from wisecommittee.store import LogitStore

        return LogitStore(self.store)

    def open_data(self, held_out: float = 0.0) -> TrainingData:
        from wisecommittee.train.data import open_training_data

        return open_training_data(
            self.data,
            label_noise=self.label_noise,
            pixel_noise=self.pixel_noise,
            held_out=held_out,
            seed=self.seed,
            workers=self.workers,
        )

    @property
    def changes(self) -> RecipeChanges:
        """What replaces the preset's recipe; None keeps the preset's value."""
        return {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}

    def run_baseline(self, method: Callable[[Setup], Baseline]) -> None:
        """Train a method of one backbone, put its outputs into the store, and show them."""
        from wisecommittee.train.supervised import make_setup, train_baseline

        store = self.open_store()
        setup = make_setup(self.open_data(), self.backbone, seed=self.seed, preset=self.preset, **self.changes)
        with self.reporting() as how:
            done = train_baseline(method(setup), store, **how)
        self.show(done, store)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[TrainOptions]:
        """The options of `wisecommittee.train`, with progress bars and a line on stderr for each phase that ends."""
        report = _Report(quiet=follows())
        with progress(quiet=report.quiet) as update:
            yield {
                "device": self.device,
                "mixed_precision": self.precision,
                "checkpoints": self.checkpoints,
                "curves": self.curves,
                "replace": self.replace,
                "progress": update,
                "log": report.log,
            }
            report.end_phase()

    def show(self, done: list[Extracted], store: LogitStore, hint: str | None = None) -> None:
        """Print what is in the store now; hint : a line on stderr after the table."""
        if follows():
            return
        show(done, store.files.uri, self.as_json)
        if hint and not self.as_json:
            err.print(hint, markup=False)


def with_training(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command: it gets the options of `Training`, which reach it as the one argument `training`.

    without : fields that are no option of this command. An option that the command declares itself, with another help
    or default, takes the place of the shared one; its value reaches both the command and `training`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(Training, include_extras=True)
        shared = {
            f.name: inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
            )
            for f in fields(Training)
            if f.name not in without
        }
        declared = {
            name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
            if name != "training"
        }

        @wraps(command)
        def run(**given: Any) -> None:
            training = Training(**{name: given[name] for name in shared})
            command(**{name: given[name] for name in declared}, training=training)

        every = shared | declared
        run.__signature__ = inspect.Signature(list(every.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: parameter.annotation for name, parameter in every.items()}
        return run

    return decorate


UNSAID = ("phase", "epoch", "lr", "seconds")  # columns of a learning curve that are not printed


class _Report:
    """Prints the last row of each phase's learning curve when the phase is over."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._last: dict[str, Any] = {}

    def log(self, row: dict[str, Any]) -> None:
        if self._last and row["phase"] != self._last["phase"]:
            self.end_phase()
        self._last = dict(row)

    def end_phase(self) -> None:
        if self._last and not self.quiet:
            row = self._last
            figures = [f"{name} {_shown(name, value)}" for name, value in row.items() if name not in UNSAID]
            err.print(f"{row['phase']}: {row['epoch']} epochs, {', '.join(figures)}", markup=False)


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if "accuracy" in name else f"{value:.3f}"
