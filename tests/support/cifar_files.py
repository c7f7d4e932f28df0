"""The official CIFAR folders, only smaller."""

from __future__ import annotations

import pickle

import numpy as np

from wisecommittee.train import cifar

N = 60  # images in a batch


def small_cifar(folder, name="cifar10", version="python", n=N):
    """An official folder, only smaller; returns {file number: (pixels, labels)} in the order of the files."""
    random = np.random.default_rng(0)
    layout = cifar.LAYOUTS[name][version == "binary"]
    place = folder / layout.folder
    place.mkdir(parents=True)
    written = []
    for file in layout.train + layout.test:
        pixels = random.integers(0, 256, (n, 3072), dtype=np.uint8)
        labels = random.permutation(np.arange(n) % layout.classes)
        if version == "binary":
            head = [labels[:, None]] if name == "cifar10" else [labels[:, None] // 5, labels[:, None]]
            np.concatenate([*(part.astype(np.uint8) for part in head), pixels], axis=1).tofile(place / file)
        else:
            key = b"labels" if name == "cifar10" else b"fine_labels"
            table = {b"data": pixels, key: labels.tolist(), b"filenames": [b"x.png"] * n, b"batch_label": b"one"}
            (place / file).write_bytes(pickle.dumps(table, protocol=2))
        written.append((pixels.reshape(-1, 3, 32, 32), labels))
    return place, written
