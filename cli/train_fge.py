"""wisecommittee train fge: a normal training, then short lr cycles with a copy of the network in each -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .training import train_with


def fge(
    store: options.Store = None,
    data: options.TrainingData = "digits",
    backbone: options.Backbone = None,
    count: Annotated[int, typer.Option("--count", help="Members, from 2.")] = 3,
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
    """Fast geometric ensembling (Garipov et al. 2018): 4 more epochs for each member after the training of one. Average
    their logits.

    **Example**  `wisecommittee train fge --data cifar10 --backbone resnet32 --device cuda`
    """
    asked = dict(locals())
    del asked["count"]
    from wisecommittee.train.fge import FastGeometric

    train_with(lambda setup: FastGeometric(setup, count), **asked)
