"""wisecommittee train: models of the project's own -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .extract import show
from .train_fge import fge
from .train_hne import hne
from .train_irene import irene
from .train_moe import moe, sparse_moe
from .train_snapshot import snapshot
from .train_tune import tune
from .training import training

app = typer.Typer(no_args_is_help=True, help="Train models and put their logits into the store.")


@app.callback()
def methods() -> None:
    """Train models and put their logits into the store."""


for command in (hne, irene, snapshot, fge, moe, sparse_moe, tune):
    app.command()(command)


@app.command()
def pool(
    store: options.Store = None,
    data: options.TrainingData = "digits",
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
    label_noise: options.LabelNoise = 0.0,
    pixel_noise: options.PixelNoise = None,
    preset: options.Preset = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Rate = None,
    seed: options.Seed = 0,
    workers: options.Workers = 0,
    device: Annotated[
        str | None, typer.Option(help="auto, cuda, cuda:1, mps or cpu; default: auto, for the five networks cpu.")
    ] = None,
    precision: options.Precision = "float32",
    checkpoints: options.Checkpoints = None,
    curves: options.Curves = None,
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """Independent replicas: of five networks on noisy 8 x 8 digits, from 640 to 398,208 multiply-adds, or of one
    backbone on any data. Their val and test logits.

    The digits take seconds on one CPU core the first time; later calls only load.

    **Examples**

    `wisecommittee train pool --store logits`

    `wisecommittee train pool --data cifar10 --backbone wrn16-2 --replicas 8 --device cuda`
    """
    from wisecommittee.errors import UsageError
    from wisecommittee.extraction.run.ranks import find_ranks
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.independent import Independent
    from wisecommittee.train.pool import Pool, train_pool
    from wisecommittee.train.supervised import make_setup, train_baseline

    target = LogitStore(store)
    embedded = data == "digits" and backbone is None
    device = device or ("cpu" if embedded else "auto")
    how = {"device": device, "mixed_precision": precision, "checkpoints": checkpoints, "curves": curves}
    noise = {"label_noise": label_noise, "pixel_noise": pixel_noise}
    changes = {"epochs": epochs, "batch_size": batch_size, "lr": lr}
    with training(**how, replace=replace) as given:
        if embedded:
            if label_noise or pixel_noise is not None or preset:
                raise UsageError(
                    "label noise, pixel noise and presets are for replicas of one network; name a --backbone"
                )
            known = {name: value for name, value in changes.items() if value is not None}
            done = train_pool(target, pool=Pool(replicas=replicas or 2, seed=seed, **known), **given)
        else:
            images = open_training_data(data, seed=seed, workers=workers, **noise)
            setup = make_setup(images, backbone, seed=seed, preset=preset, **changes)
            done = train_baseline(Independent(setup, replicas or 3), target, **given)
    if find_ranks().rank == 0:
        show(done, target.files.uri, as_json)
