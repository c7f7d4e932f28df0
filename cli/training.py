"""What the commands that train share: their options, progress, a line for each phase that ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import err, progress

if TYPE_CHECKING:
    from wisecommittee.train.run import TrainOptions

Data = Annotated[
    str,
    typer.Option("--data", help="digits, cifar10[:FOLDER], cifar100[:FOLDER] or imagefolder:FOLDER."),
]
LabelNoise = Annotated[
    float, typer.Option("--label-noise", help="Share of the training labels that is redrawn at random, e.g. 0.25.")
]
PixelNoise = Annotated[
    float | None, typer.Option("--pixel-noise", help="Noise on digits, as a standard deviation.", show_default="0.15")
]
Workers = Annotated[int, typer.Option("--workers", help="Processes that load images from files.", min=0)]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="digits-cnn, resnet18, resnet32, wrn16-1, -2, -4, -8, or package.module:factory.",
        show_default="digits-cnn or resnet18",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Epochs, batch size and learning rate: digits or cifar.", show_default="by --data"),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the data, instead of the preset's.", min=1)]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Images per step, instead of the preset's.", min=1)]
Rate = Annotated[float | None, typer.Option("--lr", help="Initial learning rate, instead of the preset's.")]
Seed = Annotated[
    int, typer.Option("--seed", help="Of initialisation, order and augmentation; from 1 on part of the names.", min=0)
]
Device = Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")]
Precision = Annotated[str, typer.Option("--mixed-precision", help="float32 (none), bfloat16 or float16.")]
Checkpoints = Annotated[
    Path | None,
    typer.Option(
        "--checkpoints",
        help="Folder of checkpoints, from which an interrupted training goes on.",
        show_default="in the user's cache folder",
    ),
]
Curves = Annotated[Path | None, typer.Option("--curves", help="Parquet file for the learning curves.")]


@contextlib.contextmanager
def training(**options: Any) -> Iterator[TrainOptions]:
    """Options of a training, completed by how it reports on the terminal."""
    last: dict[str, Any] = {}

    def say() -> None:
        if last:
            figures = [f"{name} {_shown(name, value)}" for name, value in last.items() if name not in UNSAID]
            err.print(f"{last['phase']}: {last['epoch']} epochs, {', '.join(figures)}", markup=False)

    def log(row: dict[str, Any]) -> None:
        if last and row["phase"] != last["phase"]:
            say()
        last.clear()
        last.update(row)

    with progress() as update:
        yield {**options, "progress": update, "log": log}  # type: ignore[typeddict-item]
        say()


UNSAID = ("phase", "epoch", "lr", "seconds")


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if "accuracy" in name else f"{value:.3f}"
