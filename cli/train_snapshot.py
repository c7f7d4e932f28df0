"""wisecommittee train snapshot: one training, a copy of the network at the end of each cosine cycle -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .training import train_with


def snapshot(
    store: options.Store = None,
    data: options.TrainingData = "digits",
    backbone: options.Backbone = None,
    count: Annotated[int, typer.Option("--count", help="Snapshots, from 2.")] = 3,
    label_noise: options.LabelNoise = 0.0,
    pixel_noise: options.PixelNoise = None,
    preset: options.Preset = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Rate = None,
    seed: options.Seed = 0,
    workers: options.Workers = 0,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    checkpoints: options.Checkpoints = None,
    curves: options.Curves = None,
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """A snapshot ensemble (Huang et al. 2017): several members for the training of one. Average their probabilities
    (`--combine mean_probs`).

    **Example**  `wisecommittee train snapshot --data cifar10 --backbone resnet32 --device cuda`
    """
    asked = dict(locals())
    del asked["count"]
    from wisecommittee.train.snapshot import Snapshot

    train_with(lambda setup: Snapshot(setup, count), **asked)
