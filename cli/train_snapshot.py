"""wisecommittee train snapshot: one training, a copy of the network at the end of each cosine cycle -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options, training
from .extract import show


def snapshot(
    store: options.Store = None,
    data: training.Data = "digits",
    backbone: training.Backbone = None,
    count: Annotated[int, typer.Option("--count", help="Snapshots, from 2.")] = 3,
    label_noise: training.LabelNoise = 0.0,
    pixel_noise: training.PixelNoise = None,
    preset: training.Preset = None,
    epochs: training.Epochs = None,
    batch_size: training.BatchSize = None,
    lr: training.Rate = None,
    seed: training.Seed = 0,
    workers: training.Workers = 0,
    device: training.Device = "cpu",
    precision: training.Precision = "float32",
    checkpoints: training.Checkpoints = None,
    curves: training.Curves = None,
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """A snapshot ensemble (Huang et al. 2017): several members for the training of one. Average their probabilities
    (`--combine mean_probs`).

    **Example**  `wisecommittee train snapshot --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.snapshot import Snapshot
    from wisecommittee.train.supervised import make_setup, train_baseline

    target = LogitStore(store)
    images = open_training_data(data, label_noise=label_noise, pixel_noise=pixel_noise, workers=workers)
    setup = make_setup(images, backbone, seed=seed, preset=preset, epochs=epochs, batch_size=batch_size, lr=lr)
    how = {"device": device, "mixed_precision": precision, "checkpoints": checkpoints, "curves": curves}
    with training.training(**how, replace=replace) as given:
        done = train_baseline(Snapshot(setup, count), target, **given)
    show(done, target.files.uri, as_json)
