"""Training data specs -> splits to train on, to choose on and to report on. One entry of SOURCES per scheme.

digits                scikit-learn's digits with noise (extraction/data/digits.py): 597 to train, 600 val, 600 test
cifar10[:FOLDER]      CIFAR in an official folder: 45,000 to train, 5,000 of its training images as val, 10,000 test
cifar100[:FOLDER]     the same of CIFAR-100
imagefolder:FOLDER    FOLDER/train, FOLDER/val and, if there is one, FOLDER/test, each with a folder per class
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.digits import NOISE
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.train.data_cifar import open_cifar
from wisecommittee.train.data_digits import open_digits
from wisecommittee.train.data_folder import open_folder
from wisecommittee.train.loop import Batches
from wisecommittee.train.parts import SEED, OpenedData, TensorPart, TrainingPart, stratified


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data that a method trains on.

    shape : (channels, height, width) of an image; key : changes with the data; preprocess : for models of images in
    files, None if the data come prepared; variant : how val and test differ from their usual content.
    """

    name: str
    spec: str
    classes: int
    shape: tuple[int, int, int]
    key: str
    parts: Mapping[str, TrainingPart]
    preprocess: Preprocess | None = None
    variant: str = ""

    def part(self, split: str) -> TrainingPart:
        if split not in self.parts:
            raise UsageError(
                f"data {self.spec!r} has no split {split!r}, only {', '.join(self.parts)}"
                + ("; ask for a part of the training images with held_out" if split == "held_out" else "")
            )
        return self.parts[split]

    def batches(self, size: int, *, split: str = "train", augment: bool = True) -> Batches:
        """Shuffled minibatches: images float32 [n, C, H, W], labels int64 [n], rows int64 [n] of the split."""
        if size < 1:
            raise UsageError(f"batch size {size}: expected at least 1")
        return self.part(split).batches(size, augment)

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """All images float32 [N, C, H, W], not augmented, and labels [N] of a split that is in memory."""
        part = self.part(split)
        if not isinstance(part, TensorPart):
            raise UsageError(f"data {self.spec!r} stays on disk; read it in batches")
        return part.tensors()

    def labels(self, split: str) -> Tensor:
        return self.part(split).labels

    def data(self, split: str) -> Data:
        """A split as `extract` reads it."""
        return self.part(split).data(f"{self.spec}:{split}{self.variant}")


def open_training_data(
    spec: str,
    *,
    label_noise: float = 0.0,
    pixel_noise: float | None = None,
    held_out: float = 0.0,
    seed: int = 0,
    workers: int = 0,
) -> TrainingData:
    """The training data of a spec.

    label_noise : share of the training labels that is redrawn, uniformly over all classes; pixel_noise : standard
    deviation of the noise on digits; held_out : share of the training images of each class that becomes the split
    `held_out`, whose labels are noisy too; seed : of label noise and held-out images; workers : processes that load
    images from files.
    """
    scheme, _, location = spec.partition(":")
    if scheme not in SOURCES:
        raise UnknownNameError("training data", scheme, SOURCES)
    if scheme != "digits" and pixel_noise is not None:
        raise UsageError(f"pixel noise is for digits; {spec!r} has none")
    for noun, share in (("label noise", label_noise), ("held-out share", held_out)):
        if not 0 <= share < 1:
            raise UsageError(f"{noun} {share}: expected a share of the training images, from 0 to below 1")
    noise = NOISE if pixel_noise is None else pixel_noise
    if not 0 <= noise < 10:
        raise UsageError(f"pixel noise {noise}: expected a standard deviation from 0; pixels lie in [0, 1]")
    opened = SOURCES[scheme](location, noise, workers)
    parts, generator = dict(opened.parts), np.random.default_rng((SEED, seed))
    if label_noise:
        parts["train"] = parts["train"].labelled(
            _redrawn(parts["train"].labels, label_noise, opened.classes, generator)
        )
    if held_out:
        out, kept = stratified(opened.parts["train"].labels.numpy(), held_out, generator)
        parts |= {"train": parts["train"].rows(kept), "held_out": parts["train"].rows(out)}
    sizes = {split: len(part.labels) for split, part in parts.items()}
    key = f"{scheme} {sizes} {opened.facts} labels {label_noise} held out {held_out} seed {seed}"
    variant = "" if pixel_noise in (None, NOISE) else f" noise {noise}"
    return TrainingData(scheme, spec, opened.classes, opened.shape, key, parts, opened.preprocess, variant)


def _redrawn(labels: Tensor, share: float, classes: int, generator: np.random.Generator) -> Tensor:
    """A share of the labels replaced by uniform ones, which may be the same."""
    chosen = generator.permutation(len(labels))[: round(share * len(labels))]
    new = labels.clone()
    new[chosen] = torch.from_numpy(generator.integers(0, classes, len(chosen)))
    return new


# Sources: (the part after the scheme, pixel noise, workers) -> OpenedData


def _image_folder(location: str, noise: float, workers: int) -> OpenedData:
    if not location:
        raise UsageError("training data 'imagefolder': name the folder, imagefolder:FOLDER")
    classes, parts, preprocess = open_folder(location, workers)
    return OpenedData(classes, preprocess.size, parts, preprocess.key, preprocess)


SOURCES: dict[str, Callable[[str, float, int], OpenedData]] = {
    "digits": open_digits,
    "cifar10": partial(open_cifar, "cifar10"),
    "cifar100": partial(open_cifar, "cifar100"),
    "imagefolder": _image_folder,
}
