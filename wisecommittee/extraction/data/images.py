"""Images of a data set: decoding with Pillow, folders of images, and which images cannot be decoded.

imagefolder:DIR[?classes=FILE]   DIR/<class>/../<image>; units in the order of their relative paths, which are their
ids; labels number the sorted folder names, or the names in FILE
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from wisecommittee.errors import AbsentError, ContentError, CorruptImageError, UsageError, WiseCommitteeError
from wisecommittee.extraction.data.labels import numbered

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif")
# Only these decoders are used: others start programs or read further files.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")


@dataclass(frozen=True, slots=True)
class Corrupt:
    """A unit whose image cannot be decoded. row : its row in the data, corrupt units included."""

    row: int
    unit_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.unit_id!r} ({self.reason})"


def decode(data: bytes, *, upright: bool = False) -> Image.Image:
    """Encoded bytes -> a fully decoded RGB image. upright : turned as its EXIF orientation says.

    Raises CorruptImageError. Pillow's limit on the number of pixels stays as it is, and its warning is an error here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                opened.load()
                picture = ImageOps.exif_transpose(opened) if upright else opened
                return picture.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # decoders raise exceptions of any kind
        reason = str(error).replace(f"{error.__class__.__name__}: ", "").split("<_io")[0].strip() or "no reason given"
        raise CorruptImageError(f"{type(error).__name__}: {' '.join(reason.split())[:160]}") from error


class ImageItems(Dataset[Any]):
    """Images with labels and ids known beforehand; item i is (image or Corrupt, label, unit id).

    unit_ids : text [N]; labels : int64 [N]; classes : names in the order of their labels, None if unknown.
    """

    unit_ids: Sequence[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None

    def picture(self, row: int) -> Image.Image:
        """The decoded RGB image of a row; raises CorruptImageError."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.unit_ids)

    def __getitem__(self, row: int) -> tuple[Any, int, str]:
        image: Any
        try:
            image = self.picture(row)
        except CorruptImageError as error:
            image = Corrupt(row, self.unit_ids[row], str(error))
        return image, int(self.labels[row]), self.unit_ids[row]


class ImageFolder(ImageItems):
    """DIR/<class>/../<image>. Links are followed; files that start with a dot are left out, other endings warned of."""

    def __init__(self, folder: str | os.PathLike[str], classes: Sequence[str] | None = None) -> None:
        self.folder = Path(folder)
        what = f"imagefolder {str(self.folder)!r}"
        try:
            entries = sorted(entry for entry in self.folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            missing = AbsentError if isinstance(error, FileNotFoundError) else UsageError
            raise missing(f"{what}: {error.strerror}; expected a folder with one folder per class") from None
        loose = [entry.name for entry in entries if entry.suffix.lower() in ENDINGS and not entry.is_dir()]
        if loose:
            raise ContentError(f"{what}: {loose[0]!r} is in no class; expected images in one folder per class")
        folders = [entry for entry in entries if entry.is_dir()]
        if not folders:
            raise ContentError(f"{what}: no class folders; expected one folder per class")
        units: list[tuple[str, str]] = []
        others: list[str] = [entry.name for entry in entries if not entry.is_dir()]
        for entry in folders:
            files = sorted(_files(entry))
            images = [path for path in files if path.suffix.lower() in ENDINGS]
            others += [path.relative_to(self.folder).as_posix() for path in files if path.suffix.lower() not in ENDINGS]
            if not images:
                raise ContentError(
                    f"{what}: class {entry.name!r} has no images (known endings: {' '.join(ENDINGS)}); "
                    f"fill or remove its folder"
                )
            units += [(path.relative_to(self.folder).as_posix(), entry.name) for path in images]
        if others:
            warnings.warn(
                f"{what}: {len(others):,} files are no images and left out, the first is {others[0]!r}", stacklevel=2
            )
        units.sort()
        self.unit_ids = [unit for unit, _ in units]
        bad = next((unit for unit in self.unit_ids if not unit.isprintable() or _is_no_text(unit)), None)
        if bad is not None:
            raise ContentError(f"{what}: file name {bad!r} is no printable text; rename it")
        self.labels, self.classes = numbered([name for _, name in units], classes, what)

    def picture(self, row: int) -> Image.Image:
        path = self.folder / self.unit_ids[row]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise WiseCommitteeError(f"image {str(path)!r}: {error.strerror}; check that it can be read") from error
        return decode(data)


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, links followed, no folder entered twice."""
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in files:
            path = Path(parent, name)
            if not name.startswith(".") and (not path.exists() or stat.S_ISREG(path.stat().st_mode)):
                yield path


def _is_no_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


class ArrayImages(ImageItems):
    """Images given as pixels. pixels : uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3]."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        unit_ids: Sequence[str],
        classes: tuple[str, ...] | None,
    ) -> None:
        self.pixels, self.labels, self.unit_ids, self.classes = pixels, labels, unit_ids, classes

    def picture(self, row: int) -> Image.Image:
        pixels = self.pixels[row]
        return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).convert("RGB")
