"""cifar10[:FOLDER] and cifar100[:FOLDER] for training: random crops, mirrored at random."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from wisecommittee.errors import ContentError
from wisecommittee.train.cifar import read_cifar
from wisecommittee.train.parts import SEED, OpenedData, TensorPart, shifted_crops, stratified

# Means and standard deviations of the red, green and blue pixels of the training images, in [0, 1].
CIFAR_PIXELS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
CIFAR_VAL = 5_000


def open_cifar(name: str, location: str, noise: float, workers: int) -> OpenedData:
    official = read_cifar(name, location or f"data/{name}")
    images, labels = official["train"]
    if len(labels) <= CIFAR_VAL:
        raise ContentError(f"{name}: {len(labels):,} training images; expected 50,000")
    val, train = stratified(labels, CIFAR_VAL / len(labels), np.random.default_rng(SEED))
    prepare = partial(_normalised, pixels=CIFAR_PIXELS[name])

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        """Random crops of the image with 4 pixels around it, mirrored at random."""
        moved = shifted_crops(images, 4, generator)
        mirrored = torch.rand(len(moved), generator=generator) < 0.5
        return prepare(torch.where(mirrored[:, None, None, None], moved.flip(-1), moved))

    whole = TensorPart(
        torch.from_numpy(images), torch.from_numpy(labels), tuple(f"train-{i}" for i in range(len(labels))),
        prepare, augment,
    )  # fmt: skip
    images, labels = official["test"]
    ids = tuple(f"test-{i}" for i in range(len(labels)))
    test = TensorPart(torch.from_numpy(images), torch.from_numpy(labels), ids, prepare, augment)
    return OpenedData(
        100 if name == "cifar100" else 10,
        (3, 32, 32),
        {"train": whole.rows(train), "val": whole.rows(val), "test": test},
    )


def _normalised(images: Tensor, pixels: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """uint8 [n, 3, H, W] -> float32, each channel with mean 0 and standard deviation 1."""
    mean, deviation = (torch.tensor(values)[:, None, None] for values in pixels)
    return (images.float() / 255 - mean) / deviation
