"""wisecommittee train pool: independently trained replicas -> store."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from wisecommittee.errors import UsageError

from .training import Training, with_training


@with_training()
def pool(
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="One network: digits-cnn, resnet18, resnet32, wrn16-1, -2, -4, -8, or package.module:factory.",
            show_default="on digits five networks",
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(help="Independently trained copies of each network.", min=1, show_default="2, of a backbone 3"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cuda, cuda:1, mps or cpu; default: auto, for the five networks cpu.")
    ] = None,
    *,
    training: Training,
) -> None:
    """Independent replicas: of five networks on noisy 8 x 8 digits, from 640 to 398,208 multiply-adds, or of one
    backbone on any data. Their val and test logits.

    The digits take seconds on one CPU core the first time; later calls only load.

    **Examples**

    `wisecommittee train pool --store logits`

    `wisecommittee train pool --data cifar10 --backbone wrn16-2 --replicas 8 --device cuda`
    """
    if training.data == "digits" and backbone is None:
        _train_digits(replace(training, device=device or "cpu"), replicas or 2)
        return
    from wisecommittee.train.independent import Independent

    replace(training, device=device or "auto").run_baseline(lambda setup: Independent(setup, replicas or 3))


def _train_digits(training: Training, replicas: int) -> None:
    """The five networks of the embedded pool."""
    from wisecommittee.train.pool import Pool, train_pool

    if training.label_noise or training.pixel_noise is not None or training.preset:
        raise UsageError("label noise, pixel noise and presets are for replicas of one network; name a --backbone")
    store = training.open_store()
    changes = {name: value for name, value in training.changes.items() if value is not None}
    with training.reporting() as how:
        done = train_pool(store, pool=Pool(replicas=replicas, seed=training.seed, **changes), **how)  # type: ignore[arg-type]
    training.show(done, store)
