"""The splits of training data, as the sources of `train/data.py` give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.train.loop import Batches, Minibatches

Augment = Callable[[Tensor, torch.Generator], Tensor]
SEED = 2022  # of what belongs to the data: which images of CIFAR are val


class TrainingPart(Protocol):
    """One split of training data. labels : int64 [N], as trained on: with label noise a share of them is redrawn."""

    @property
    def labels(self) -> Tensor: ...

    def batches(self, size: int, augment: bool) -> Batches: ...

    def data(self, spec: str) -> Data: ...

    def rows(self, rows: NDArray[np.int64]) -> TrainingPart: ...

    def labelled(self, labels: Tensor) -> TrainingPart: ...


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
class OpenedData:
    """What a source gives: the official splits, before any label is redrawn."""

    classes: int
    shape: tuple[int, int, int]
    parts: dict[str, TrainingPart]
    facts: str = ""
    preprocess: Preprocess | None = None


def stratified(
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


def shifted_crops(images: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """images [n, C, H, W], each cut at random from itself with `pad` zeros around it."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (pad, pad, pad, pad))
    down, right = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    unit = torch.arange(n)[:, None, None]
    return padded[unit, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
