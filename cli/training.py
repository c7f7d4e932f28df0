"""What the commands that train share: progress, a line for each phase that ends, and the way of a baseline."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import err, progress
from .extract import show

if TYPE_CHECKING:
    from wisecommittee.train.run import TrainOptions
    from wisecommittee.train.supervised import Baseline, Setup


@contextlib.contextmanager
def training(**options: Any) -> Iterator[TrainOptions]:
    """Options of a training, completed by how it reports on the terminal."""
    last: dict[str, Any] = {}
    follows = os.environ.get("RANK", "0") != "0"  # only rank 0 of torchrun's reports

    def say() -> None:
        if last and not follows:
            figures = [f"{name} {_shown(name, value)}" for name, value in last.items() if name not in UNSAID]
            err.print(f"{last['phase']}: {last['epoch']} epochs, {', '.join(figures)}", markup=False)

    def log(row: dict[str, Any]) -> None:
        if last and row["phase"] != last["phase"]:
            say()
        last.clear()
        last.update(row)

    with progress(quiet=follows) as update:
        yield {**options, "progress": update, "log": log}  # type: ignore[typeddict-item]
        say()


def train_with(
    method: Callable[[Setup], Baseline],
    *,
    store: str | None,
    data: str,
    backbone: str | None,
    label_noise: float,
    pixel_noise: float | None,
    preset: str | None,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int,
    workers: int,
    device: str,
    precision: str,
    checkpoints: Path | None,
    curves: Path | None,
    replace: bool,
    as_json: bool,
) -> None:
    """What every baseline's command does once its method is known: train, store, show."""
    from wisecommittee.extraction.run.ranks import find_ranks
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.supervised import make_setup, train_baseline

    target = LogitStore(store)
    images = open_training_data(data, label_noise=label_noise, pixel_noise=pixel_noise, seed=seed, workers=workers)
    setup = make_setup(images, backbone, seed=seed, preset=preset, epochs=epochs, batch_size=batch_size, lr=lr)
    how = {"device": device, "mixed_precision": precision, "checkpoints": checkpoints, "curves": curves}
    with training(**how, replace=replace) as given:
        done = train_baseline(method(setup), target, **given)
    if find_ranks().rank == 0:
        show(done, target.files.uri, as_json)


UNSAID = ("phase", "epoch", "lr", "seconds")


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if "accuracy" in name else f"{value:.3f}"
