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
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from wisecommittee.errors import ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.digits import CLASSES, NOISE, SPLITS, digits
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.train.cifar import read_cifar
from wisecommittee.train.data_folder import open_folder
from wisecommittee.train.loop import Batches, Minibatches
from wisecommittee.train.parts import TrainingPart

Augment = Callable[[Tensor, torch.Generator], Tensor]
# Means and standard deviations of the red, green and blue pixels of the training images, in [0, 1].
CIFAR_PIXELS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
CIFAR_VAL = 5_000
SEED = 2022  # of what belongs to the data: which images of CIFAR are val


@dataclass(frozen=True, slots=True)
class TensorPart:
    """Images in memory [N, C, H, W]. prepare : raw images [n, ..] -> float32; augment : the same with augmentation."""

    images: Tensor
    labels: Tensor
    unit_ids: tuple[str, ...]
    prepare: Callable[[Tensor], Tensor]
    augment: Augment

    def tensors(self) -> tuple[Tensor, Tensor]:
        return self.prepare(self.images), self.labels

    def batches(self, size: int, augment: bool) -> Batches:
        change: Augment = self.augment if augment else lambda images, generator: self.prepare(images)
        return Minibatches((self.images, self.labels, torch.arange(len(self.labels))), size, change)

    def data(self, spec: str) -> Data:
        images, labels = self.tensors()
        return wrap_data(lambda: (images, labels.numpy(), list(self.unit_ids)), spec)

    def rows(self, rows: NDArray[np.int64]) -> TensorPart:
        ids = tuple(self.unit_ids[row] for row in rows)
        return TensorPart(self.images[rows], self.labels[rows], ids, self.prepare, self.augment)

    def labelled(self, labels: Tensor) -> TensorPart:
        return TensorPart(self.images, labels, self.unit_ids, self.prepare, self.augment)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a method trains on. shape : (channels, height, width) of an image; key : changes with the data; preprocess :
    for models of images in files, None where the data come prepared; variant : how val and test differ from their usual
    content."""

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


@dataclass(frozen=True, slots=True)
class Opened:
    """What a source gives: the official splits, before any label is redrawn."""

    classes: int
    shape: tuple[int, int, int]
    parts: dict[str, TrainingPart]
    facts: str = ""
    preprocess: Preprocess | None = None


def open_training_data(
    spec: str,
    *,
    label_noise: float = 0.0,
    pixel_noise: float | None = None,
    held_out: float = 0.0,
    seed: int = 0,
    workers: int = 0,
) -> TrainingData:
    """The data a spec stands for.

    label_noise : share of the training labels that is redrawn, uniformly over all classes; pixel_noise : standard
    deviation of the noise on digits; held_out : share of the training images, of each class, that becomes the split
    `held_out`, with labels as noisy as the rest; seed : of both; workers : processes that load images from files.
    """
    scheme, _, rest = spec.partition(":")
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
    opened = SOURCES[scheme](rest, noise, workers)
    parts, generator = dict(opened.parts), np.random.default_rng((SEED, seed))
    if label_noise:
        parts["train"] = parts["train"].labelled(
            _redrawn(parts["train"].labels, label_noise, opened.classes, generator)
        )
    if held_out:
        out, kept = _stratified(opened.parts["train"].labels.numpy(), held_out, generator)
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


def _stratified(
    labels: NDArray[np.int64], share: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a share of each class, and the other rows, both ascending."""
    order = generator.permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        chosen.append(rows[: max(1, round(share * len(rows)))])
    out = np.sort(np.concatenate(chosen))
    return out, np.setdiff1d(np.arange(len(labels)), out)


# Sources: (what stands after the scheme, pixel noise, workers) -> Opened


def _digits(rest: str, noise: float, workers: int) -> Opened:
    if rest:
        raise UsageError(f"training data 'digits:{rest}': all splits belong to it; write digits")
    parts: dict[str, TrainingPart] = {}
    for split in SPLITS:
        images, labels, ids = digits(split, noise=0.0 if split == "train" else noise)
        parts[split] = TensorPart(
            torch.from_numpy(images), torch.from_numpy(labels), tuple(ids), torch.clone, partial(shifted, noise=noise)
        )
    return Opened(CLASSES, (1, 8, 8), parts, f"noise {noise}")


def shifted(images: Tensor, generator: torch.Generator, noise: float) -> Tensor:
    """images [n, 1, 8, 8] -> each shifted by -1, 0 or 1 pixels in both directions, with noise of its own."""
    moved = _moved(images, 1, generator)
    return moved + noise * torch.randn(moved.shape, generator=generator)


def _moved(images: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """images [n, C, H, W], each cut at random from itself with `pad` zeros around it."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (pad, pad, pad, pad))
    down, right = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    unit = torch.arange(n)[:, None, None]
    return padded[unit, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _cifar(name: str, rest: str, noise: float, workers: int) -> Opened:
    official = read_cifar(name, rest or f"data/{name}")
    images, labels = official["train"]
    if len(labels) <= CIFAR_VAL:
        raise ContentError(f"{name}: {len(labels):,} training images; expected 50,000")
    val, train = _stratified(labels, CIFAR_VAL / len(labels), np.random.default_rng(SEED))
    prepare = partial(_normalised, pixels=CIFAR_PIXELS[name])

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        """Random crops of the image with 4 pixels around it, mirrored at random."""
        moved = _moved(images, 4, generator)
        mirrored = torch.rand(len(moved), generator=generator) < 0.5
        return prepare(torch.where(mirrored[:, None, None, None], moved.flip(-1), moved))

    whole = TensorPart(
        torch.from_numpy(images), torch.from_numpy(labels), tuple(f"train-{i}" for i in range(len(labels))),
        prepare, augment,
    )  # fmt: skip
    images, labels = official["test"]
    ids = tuple(f"test-{i}" for i in range(len(labels)))
    test = TensorPart(torch.from_numpy(images), torch.from_numpy(labels), ids, prepare, augment)
    return Opened(
        100 if name == "cifar100" else 10,
        (3, 32, 32),
        {"train": whole.rows(train), "val": whole.rows(val), "test": test},
    )


def _normalised(images: Tensor, pixels: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """uint8 [n, 3, H, W] -> float32, each channel with mean 0 and standard deviation 1."""
    mean, deviation = (torch.tensor(values)[:, None, None] for values in pixels)
    return (images.float() / 255 - mean) / deviation


def _image_folder(rest: str, noise: float, workers: int) -> Opened:
    if not rest:
        raise UsageError("training data 'imagefolder': name the folder, imagefolder:FOLDER")
    classes, parts, preprocess = open_folder(rest, workers)
    return Opened(classes, preprocess.size, parts, preprocess.key, preprocess)


SOURCES: dict[str, Callable[[str, float, int], Opened]] = {
    "digits": _digits,
    "cifar10": partial(_cifar, "cifar10"),
    "cifar100": partial(_cifar, "cifar100"),
    "imagefolder": _image_folder,
}
