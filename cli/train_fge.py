"""wisecommittee train fge: a normal training, then short lr cycles with a copy of the network in each -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options, training
from .extract import show


def fge(
    store: options.Store = None,
    data: training.Data = "digits",
    backbone: training.Backbone = None,
    count: Annotated[int, typer.Option("--count", help="Members, from 2.")] = 3,
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
    """Fast geometric ensembling (Garipov et al. 2018): 4 more epochs for each member after the training of one. Average
    their logits.

    **Example**  `wisecommittee train fge --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.fge import FastGeometric
    from wisecommittee.train.supervised import make_setup, train_baseline

    target = LogitStore(store)
    images = open_training_data(data, label_noise=label_noise, pixel_noise=pixel_noise, workers=workers)
    setup = make_setup(images, backbone, seed=seed, preset=preset, epochs=epochs, batch_size=batch_size, lr=lr)
    how = {"device": device, "mixed_precision": precision, "checkpoints": checkpoints, "curves": curves}
    with training.training(**how, replace=replace) as given:
        done = train_baseline(FastGeometric(setup, count), target, **given)
    show(done, target.files.uri, as_json)
