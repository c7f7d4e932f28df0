"""digits for training: every epoch sees them shifted, with fresh pixel noise."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from wisecommittee.errors import UsageError
from wisecommittee.extraction.data.digits import CLASSES, SPLITS, digits
from wisecommittee.train.parts import OpenedData, TensorPart, TrainingPart, shifted_crops


def open_digits(location: str, noise: float, workers: int) -> OpenedData:
    if location:
        raise UsageError(f"training data 'digits:{location}': all splits belong to it; write digits")
    parts: dict[str, TrainingPart] = {}
    for split in SPLITS:
        images, labels, ids = digits(split, noise=0.0 if split == "train" else noise)
        parts[split] = TensorPart(
            torch.from_numpy(images), torch.from_numpy(labels), tuple(ids), torch.clone, partial(shifted, noise=noise)
        )
    return OpenedData(CLASSES, (1, 8, 8), parts, f"noise {noise}")


def shifted(images: Tensor, generator: torch.Generator, noise: float) -> Tensor:
    """images [n, 1, 8, 8] -> each shifted by -1, 0 or 1 pixels in both directions, with noise of its own."""
    moved = shifted_crops(images, 1, generator)
    return moved + noise * torch.randn(moved.shape, generator=generator)
