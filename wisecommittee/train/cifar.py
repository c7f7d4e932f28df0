"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from their official folders, in the Python or the binary version.

The Python version is pickled; it is read with an unpickler that knows numpy arrays and plain values and nothing else,
so a file from a stranger cannot run code.
"""

from __future__ import annotations

import codecs
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AbsentError, ContentError, counted
from wisecommittee.reading import open_regular

PIXELS = 3 * 32 * 32
MOST_BYTES = 1 << 28  # of one file; the largest official one has 155 MB


@dataclass(frozen=True, slots=True)
class CifarLayout:
    """Files of one data set in one version. labels : the key of the labels, or the number of label bytes before each
    image, of which the last counts."""

    classes: int
    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: str | int


BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
LAYOUTS = {
    "cifar10": (
        CifarLayout(10, "cifar-10-batches-py", "cifar-10-python.tar.gz", BATCHES, ("test_batch",), "labels"),
        CifarLayout(
            10, "cifar-10-batches-bin", "cifar-10-binary.tar.gz", tuple(f"{b}.bin" for b in BATCHES),
            ("test_batch.bin",), 1,
        ),
    ),
    "cifar100": (
        CifarLayout(100, "cifar-100-python", "cifar-100-python.tar.gz", ("train",), ("test",), "fine_labels"),
        CifarLayout(100, "cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), ("test.bin",), 2),
    ),
}  # fmt: skip
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_cifar(name: str, folder: str) -> dict[str, Arrays]:
    """{"train": (images uint8 [50000, 3, 32, 32], labels int64 [50000]), "test": the same with 10,000 images}.

    name : 'cifar10' or 'cifar100'; folder : an official folder, or its parent.
    """
    path, layout = _find(name, Path(folder))
    return {
        "train": _joined([_read(path / file, layout) for file in layout.train]),
        "test": _joined([_read(path / file, layout) for file in layout.test]),
    }


def _find(name: str, folder: Path) -> tuple[Path, CifarLayout]:
    for layout in LAYOUTS[name]:
        for path in (folder, folder / layout.folder):
            if all((path / file).is_file() for file in layout.train + layout.test):
                return path, layout
    versions = " or ".join(f"{layout.folder}/ (from {layout.archive})" for layout in LAYOUTS[name])
    raise AbsentError(
        f"{name}: no data in {str(folder)!r}; unpack {versions} there, as its authors publish it, or name the folder "
        f"with {name}:FOLDER"
    )


def _joined(parts: list[Arrays]) -> Arrays:
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _read(file: Path, layout: CifarLayout) -> Arrays:
    if file.stat().st_size > MOST_BYTES:
        raise ContentError(f"{str(file)!r} has {file.stat().st_size:,} bytes; no official file is that large")
    images, labels = _binary(file, layout.labels) if isinstance(layout.labels, int) else _pickled(file, layout.labels)
    outside = np.flatnonzero((labels < 0) | (labels >= layout.classes))
    if len(outside):
        raise ContentError(
            f"{str(file)!r}: label {labels[outside[0]]} of image {outside[0]}; expected 0..{layout.classes - 1}"
        )
    return images.reshape(-1, 3, 32, 32), labels


def _binary(file: Path, before: int) -> Arrays:
    with open_regular(file) as stream:
        data = np.fromfile(stream, np.uint8)
    if not len(data) or len(data) % (before + PIXELS):
        raise ContentError(
            f"{str(file)!r}: {len(data):,} bytes are not whole records of {before + PIXELS}; unpack it again"
        )
    rows = data.reshape(-1, before + PIXELS)
    return rows[:, before:], rows[:, before - 1].astype(np.int64)


def _pickled(file: Path, key: str) -> Arrays:
    try:
        with open_regular(file) as stream:
            table = _Plain(stream, encoding="bytes").load()
        images, labels = table[b"data"], table[key.encode()]
    except Exception as error:  # a damaged pickle raises anything
        raise ContentError(f"{str(file)!r} is no batch of CIFAR ({type(error).__name__}: {error})") from error
    numbers = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (PIXELS,) or not numbers:
        raise ContentError(f"{str(file)!r}: expected pixels uint8 [n, {PIXELS}] and a list of whole numbers")
    if len(labels) != len(images):
        raise ContentError(f"{str(file)!r}: {counted(len(images), 'image')} with {counted(len(labels), 'label')}")
    return images, np.array(labels, np.int64)


def _reconstruct(kind: object, shape: object, code: object) -> NDArray[Any]:
    """An empty array, which its state then fills."""
    if kind is not ARRAY:
        raise pickle.UnpicklingError("an array of another kind")
    return np.ndarray((0,), np.uint8)


ARRAY = object()  # stands for the class: a file has no business calling it
KNOWN = {
    ("multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): ARRAY,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class _Plain(pickle.Unpickler):
    """Numpy arrays, and what needs no class at all."""

    def find_class(self, module: str, name: str) -> Any:
        home = module.removeprefix("numpy._core.").removeprefix("numpy.core.")
        if (home, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is no plain value")
        return KNOWN[home, name]
