"""npz:FILE[?classes=FILE]   arrays in one file, never unpickled.

Names: `x` or `images`, `y` or `labels`, optionally `ids` (or `unit_id`) and `classes` (their names in order).

`images` of type uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3] are images for each model's own preprocessing; `x`, and
images of another type, go into the models as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AbsentError, AlignmentError, ContentError
from wisecommittee.extraction.data.images import ArrayImages
from wisecommittee.extraction.data.labels import renumbered
from wisecommittee.store.readers.arrays import Npz

NAMES = {"inputs": ("x", "images"), "labels": ("y", "labels"), "ids": ("ids", "unit_id"), "classes": ("classes",)}


def open_npz(path: str, classes: Sequence[str] | None = None) -> tuple[Any, ...] | ArrayImages:
    """(inputs [N, ..], labels int64 [N], unit ids text [N]), or images."""
    what = f"npz {path!r}"
    arrays = _read(path, what)
    inputs, given = arrays["inputs"], arrays["labels"]
    if inputs is None or given is None:
        missing = "x or images" if inputs is None else "y or labels"
        raise ContentError(f"{what}: no array named {missing}; expected inputs x (or images) and labels y (or labels)")
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if inputs.ndim < 2 or given.ndim != 1 or len(inputs) != len(given):
        raise AlignmentError(
            f"{what}: inputs of shape {list(inputs.shape)}, labels of shape {list(given.shape)}; "
            f"expected [units, ..] and [units]"
        )
    if given.dtype.kind not in "iub" and not (given.dtype.kind == "f" and (given == np.trunc(given)).all()):
        raise ContentError(f"{what}: labels are {given.dtype}; expected whole numbers from 0")
    names = None if arrays["classes"] is None else [str(name) for name in arrays["classes"].tolist()]
    labels, known = renumbered(given.astype(np.int64), names, classes, what)
    ids = np.arange(len(labels)) if arrays["ids"] is None else arrays["ids"]
    if ids.shape != (len(labels),):
        raise AlignmentError(f"{what}: ids of shape {list(ids.shape)} for {len(labels)} labels; expected one for each")
    unit_ids = [str(unit) for unit in (ids.astype(np.str_) if ids.dtype.kind == "S" else ids).tolist()]
    if arrays["are images"] is not None and inputs.dtype == np.uint8:
        if inputs.ndim == 3 or (inputs.ndim == 4 and inputs.shape[3] in (1, 3)):
            return ArrayImages(inputs, labels, unit_ids, known)
        raise ContentError(
            f"{what}: images of shape {list(inputs.shape)}; expected uint8 [units, height, width] or [.., 3]; "
            f"name arrays x if they go into the models as they are"
        )
    return inputs, labels, unit_ids


def _read(path: str, what: str) -> dict[str, NDArray[Any] | None]:
    arrays: dict[str, NDArray[Any] | None] = dict.fromkeys([*NAMES, "are images"])
    try:
        with Npz(path) as archive:
            for noun, names in NAMES.items():
                both = [name for name in names if name in archive.names]
                if len(both) > 1:
                    raise ContentError(f"{what}: both {' and '.join(both)}; expected one of them")
                if both:
                    arrays[noun] = archive[both[0]]
            if "images" in archive.names:
                arrays["are images"] = np.empty(0)
    except AbsentError:
        raise AbsentError(f"{what}: no such file; name one written by np.savez") from None
    return arrays
