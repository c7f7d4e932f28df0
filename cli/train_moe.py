"""wisecommittee train moe, sparse-moe: experts trained together behind a gate -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .training import train_with

Experts = Annotated[int, typer.Option("--experts", help="Networks behind the gate, from 2.")]


def moe(
    store: options.Store = None,
    data: options.TrainingData = "digits",
    backbone: options.Backbone = None,
    experts: Experts = 3,
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
    """A mixture of experts: a softmax gate on the features of a network trained first weights all of them.

    The store gets one model, the log-probabilities of the mixture. Its cost includes that first network.

    **Example**  `wisecommittee train moe --data cifar10 --backbone resnet32 --device cuda`
    """
    asked = dict(locals())
    del asked["experts"]
    from wisecommittee.train.moe import MixtureOfExperts

    train_with(lambda setup: MixtureOfExperts(setup, experts), **asked)


def sparse_moe(
    store: options.Store = None,
    data: options.TrainingData = "digits",
    backbone: options.Backbone = None,
    experts: Experts = 3,
    active: Annotated[int, typer.Option("--active", help="Experts that run on an image; fewer than all.")] = 2,
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
    """A sparse mixture of experts (Shazeer et al. 2017): only the experts with the largest gate entries run.

    The store gets one model, the log-probabilities of the mixture. Its cost includes that first network.

    **Example**  `wisecommittee train sparse-moe --data cifar10 --backbone resnet32 --device cuda`
    """
    asked = dict(locals())
    del asked["experts"], asked["active"]
    from wisecommittee.train.moe import MixtureOfExperts

    train_with(lambda setup: MixtureOfExperts(setup, experts, active), **asked)
