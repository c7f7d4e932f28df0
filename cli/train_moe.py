"""wisecommittee train moe, sparse-moe: experts trained together behind a gate -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options, training
from .extract import show

Experts = Annotated[int, typer.Option("--experts", help="Networks behind the gate, from 2.")]


def moe(
    store: options.Store = None,
    data: training.Data = "digits",
    backbone: training.Backbone = None,
    experts: Experts = 3,
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
    """A mixture of experts: a softmax gate on the features of a network trained first weights all of them.

    The store gets one model, the log-probabilities of the mixture. Its cost includes that first network.

    **Example**  `wisecommittee train moe --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.moe import MixtureOfExperts
    from wisecommittee.train.supervised import make_setup, train_baseline

    target = LogitStore(store)
    images = open_training_data(data, label_noise=label_noise, pixel_noise=pixel_noise, workers=workers)
    setup = make_setup(images, backbone, seed=seed, preset=preset, epochs=epochs, batch_size=batch_size, lr=lr)
    how = {"device": device, "mixed_precision": precision, "checkpoints": checkpoints, "curves": curves}
    with training.training(**how, replace=replace) as given:
        done = train_baseline(MixtureOfExperts(setup, experts), target, **given)
    show(done, target.files.uri, as_json)


def sparse_moe(
    store: options.Store = None,
    data: training.Data = "digits",
    backbone: training.Backbone = None,
    experts: Experts = 3,
    active: Annotated[int, typer.Option("--active", help="Experts that run on an image; fewer than all.")] = 2,
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
    """A sparse mixture of experts (Shazeer et al. 2017): only the experts with the largest gate entries run.

    The store gets one model, the log-probabilities of the mixture. Its cost includes that first network.

    **Example**  `wisecommittee train sparse-moe --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.moe import MixtureOfExperts
    from wisecommittee.train.supervised import make_setup, train_baseline

    target = LogitStore(store)
    images = open_training_data(data, label_noise=label_noise, pixel_noise=pixel_noise, workers=workers)
    setup = make_setup(images, backbone, seed=seed, preset=preset, epochs=epochs, batch_size=batch_size, lr=lr)
    how = {"device": device, "mixed_precision": precision, "checkpoints": checkpoints, "curves": curves}
    with training.training(**how, replace=replace) as given:
        done = train_baseline(MixtureOfExperts(setup, experts, active), target, **given)
    show(done, target.files.uri, as_json)
