"""wisecommittee train: models of the project's own -> store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .console import err, progress
from .extract import show
from .train_irene import irene

app = typer.Typer(no_args_is_help=True, help="Train models and put their logits into the store.")


@app.callback()
def methods() -> None:
    """Train models and put their logits into the store."""


app.command()(irene)


@app.command()
def pool(
    store: options.Store = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Folder of the trained networks; default: in the user's cache folder.")
    ] = None,
    replicas: Annotated[int, typer.Option(help="Independently trained copies of each architecture.", min=1)] = 2,
    epochs: Annotated[int, typer.Option(help="Passes over the 597 training images.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="Of initialisation, order and augmentation.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "cpu",
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """Five architectures on noisy 8 x 8 digits, from 640 to 398,208 multiply-adds; their val and test logits.

    Takes seconds on one CPU core the first time, then only loads.

    **Example**  `wisecommittee train pool --store logits`
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.train.pool import Pool, train_pool

    settings = Pool(replicas=replicas, epochs=epochs, seed=seed)
    target = LogitStore(store)

    def log(row: dict[str, Any]) -> None:
        if row["epoch"] == epochs:
            figures = f"training loss {row['loss']:.3f}, training accuracy {100 * row['accuracy']:.1f} %"
            err.print(f"{row['phase']}: {figures}")

    with progress() as update:
        done = train_pool(
            target, pool=settings, checkpoints=checkpoints, device=device, replace=replace, progress=update, log=log
        )
    show(done, target.files.uri, as_json)
