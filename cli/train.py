"""wisecommittee train: models of the project's own -> store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import err, progress
from .extract import show

INTERRUPTED = "interrupted; checkpoints are kept, the same command continues after them"

app = typer.Typer(no_args_is_help=True, help="Train models and put their logits into the store.")


@app.callback()
def methods() -> None:
    """Train models and put their logits into the store."""


@app.command()
def pool(
    store: Annotated[str, typer.Option(help="folder or URI", envvar="WISECOMMITTEE_STORE")] = "logits",
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="folder of the trained networks; default: in the user's cache folder"),
    ] = None,
    replicas: Annotated[int, typer.Option(help="independently trained copies of each architecture", min=1)] = 2,
    epochs: Annotated[int, typer.Option(help="passes over the 597 training images", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="of initialisation, order and augmentation", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu")] = "cpu",
    replace: Annotated[bool, typer.Option("--replace", help="exchange what the store has")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Five architectures on noisy 8 x 8 digits, from 640 to 398,208 FLOPs (multiply-adds); val and test logits.

    Takes seconds on one CPU core the first time, then only loads.

    [bold]wisecommittee train pool --store logits[/bold]
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.train.pool import Pool, train_pool

    settings = Pool(replicas=replicas, epochs=epochs, seed=seed)

    def log(row: dict[str, Any]) -> None:
        if row["epoch"] == epochs:
            err.print(
                f"{row['phase']}: training loss {row['loss']:.3f}, training accuracy {100 * row['accuracy']:.1f} %"
            )

    options: dict[str, Any] = {"checkpoints": checkpoints, "device": device, "replace": replace, "log": log}
    try:
        with progress() as update:
            done = train_pool(LogitStore(store), pool=settings, progress=update, **options)
    except KeyboardInterrupt:
        err.print(INTERRUPTED)
        raise typer.Exit(130) from None
    show(done, store, as_json)
