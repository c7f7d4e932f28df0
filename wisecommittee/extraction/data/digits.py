"""The embedded data set: scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, made a little harder by pixel noise.

Disjoint, stratified splits with a fixed seed: train 597, val 600, test 600. Every network solves clean digits, which
leaves nothing for a committee to win; noise of 0.15 (pixels lie in [0, 1]) and few training images spread small and
large networks apart. The noise is part of the data: every call returns the same pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import MissingExtraError, UnknownNameError

SPLITS = {"train": 597, "val": 600, "test": 600}
CLASSES = 10
NOISE = 0.15
SEED = 2022


def digits(split: str, *, noise: float = NOISE) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:
    """Images float32 [N, 1, 8, 8], labels int64 [N] in 0..9, unit ids (the row in scikit-learn's table, as text)."""
    if split not in SPLITS:
        raise UnknownNameError("split of the digits", split, SPLITS)
    images, labels, rows = _table()
    pixels = images + noise * np.random.RandomState(SEED).standard_normal(images.shape)
    chosen = rows[split]
    return pixels[chosen].astype(np.float32), labels[chosen], [str(row) for row in chosen]


@cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """All images [1797, 1, 8, 8] in [0, 1], all labels [1797], and the rows of each split in ascending order."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-learn", "torch") from error
    table = load_digits()
    labels = table.target.astype(np.int64)
    train, rest = train_test_split(
        np.arange(len(labels)), train_size=SPLITS["train"], stratify=labels, random_state=SEED
    )
    val, test = train_test_split(rest, train_size=SPLITS["val"], stratify=labels[rest], random_state=SEED)
    return table.images[:, None] / 16, labels, {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}
