"""imagefolder:FOLDER[?size=224] for training: images stay on disk, and are decoded and cropped batch by batch.

Training sees random crops of 8 to 100 % of the area, mirrored at random (Szegedy et al. 2015, Sec. 6); evaluation the
centre after the shorter side was brought to 8/7 of the size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wisecommittee.errors import AbsentError, UsageError
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.images import ImageFolder, ImageItems
from wisecommittee.extraction.data.labels import split_settings
from wisecommittee.extraction.data.loading import load
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.train.loop import Batch, Batches
from wisecommittee.train.parts import TrainingPart

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def open_folder(text: str, workers: int) -> tuple[int, dict[str, TrainingPart], Preprocess]:
    """Number of classes, the splits that are there (train and val must be), and the preprocessing of evaluation."""
    path, settings = split_settings(text, ("size",), "imagefolder")
    if not settings.get("size", str(SIZE)).isdigit() or not 8 <= (size := int(settings.get("size", SIZE))) <= 4096:
        raise UsageError(f"imagefolder {path!r}: size={settings['size']}; expected 8 to 4096 pixels")
    folders = {split: Path(path, split) for split in ("train", "val", "test")}
    for split in ("train", "val"):
        if not folders[split].is_dir():
            raise AbsentError(
                f"imagefolder {path!r}: no folder {split}/ in it; expected train/, val/ and optionally test/"
            )
    train = ImageFolder(folders["train"])
    assert train.classes is not None
    preprocess = Preprocess(
        f"imagefolder size {size}", (3, size, size), partial(_centre, size=size), partial(_whole, size=size)
    )
    parts: dict[str, TrainingPart] = {
        "train": FolderPart(train, _all(train), torch.from_numpy(train.labels), preprocess, workers)
    }
    for split in ("val", "test"):
        if folders[split].is_dir():
            items = ImageFolder(folders[split], train.classes)
            parts[split] = FolderPart(items, _all(items), torch.from_numpy(items.labels), preprocess, workers)
    return len(train.classes), parts, preprocess


def _all(items: ImageItems) -> NDArray[np.int64]:
    return np.arange(len(items))


@dataclass(frozen=True, slots=True)
class FolderPart:
    """Chosen rows of a folder of images. labels : int64 [N] of these rows."""

    items: ImageItems
    chosen: NDArray[np.int64]
    labels: Tensor
    preprocess: Preprocess
    workers: int

    def batches(self, size: int, augment: bool) -> Batches:
        return FolderBatches(self, size, augment)

    def data(self, spec: str) -> Data:
        return wrap_data(lambda: self.items, spec, workers=self.workers)

    def rows(self, rows: NDArray[np.int64]) -> FolderPart:
        return FolderPart(self.items, self.chosen[rows], self.labels[rows], self.preprocess, self.workers)

    def labelled(self, labels: Tensor) -> FolderPart:
        return FolderPart(self.items, self.chosen, labels, self.preprocess, self.workers)


@dataclass(frozen=True, slots=True)
class FolderBatches:
    """Shuffled minibatches of a part, read in its loading processes."""

    part: FolderPart
    size: int
    augment: bool

    def __len__(self) -> int:
        return math.ceil(len(self.part.labels) / self.size)

    def epoch(self, generator: torch.Generator, rank: int = 0, count: int = 1) -> Iterator[Batch]:
        if self.size % count:
            raise UsageError(
                f"batch size {self.size} does not divide among {count} ranks; choose a multiple of {count}"
            )
        part = self.part
        order = torch.randperm(len(part.labels), generator=generator)
        draw = int(torch.randint(1 << 62, (1,), generator=generator))
        mine = torch.cat([rows[rank::count] for rows in order.split(self.size)])
        items: ImageItems = part.items
        prepare: Any = part.preprocess
        if self.augment:
            items, prepare = Cropped(items, part.preprocess.size[1], draw), as_tensor
        share, at = self.size // count, 0
        for images, _, _ in load(items, part.chosen[mine.numpy()], share, part.workers, prepare, "imagefolder"):
            rows = mine[at : at + len(images)]
            at += len(images)
            yield images, part.labels[rows], rows


class Cropped(ImageItems):
    """Images cut and mirrored at random; a draw decides it for every row, whichever process reads it."""

    def __init__(self, items: ImageItems, side: int, draw: int) -> None:
        self.items, self.side, self.draw = items, side, draw
        self.unit_ids, self.labels, self.classes = items.unit_ids, items.labels, items.classes

    def picture(self, row: int) -> Image:
        image = self.items.picture(row)
        generator = np.random.default_rng((self.draw, row))
        box = crop_box(image.width, image.height, generator)
        from PIL.Image import Resampling, Transpose

        cut = image.resize((self.side, self.side), Resampling.BILINEAR, box=box)
        return cut.transpose(Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else cut


def crop_box(width: int, height: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """left, upper, right, lower of a random part of an image; the largest centred square where ten draws do not fit."""
    for _ in range(10):
        area = width * height * generator.uniform(*AREA)
        ratio = math.exp(generator.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, upper = int(generator.integers(0, width - w + 1)), int(generator.integers(0, height - h + 1))
            return left, upper, left + w, upper + h
    side = min(width, height)
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def as_tensor(image: Image) -> Tensor:
    """RGB -> float32 [3, H, W], normalised."""
    pixels = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((pixels - mean) / deviation).contiguous()


def _whole(image: Image, size: int) -> Tensor:
    """The shorter side at 8/7 of the size."""
    from PIL.Image import Resampling

    factor = 8 / 7 * size / min(image.size)
    wide, high = (max(size, round(side * factor)) for side in image.size)
    return as_tensor(image.resize((wide, high), Resampling.BILINEAR))


def _centre(image: Image, size: int) -> Tensor:
    pixels = _whole(image, size)
    y, x = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
    return pixels[:, y : y + size, x : x + size].contiguous()
