"""The checks every array passes on its way into a store. Each raises one error that names model, value and remedy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AlignmentError, ContentError

PROBABILITY_TOLERANCE = 1e-3  # real rows miss 1 by 3e-4
BLOCK_VALUES = 4_000_000  # checked at a time, so memory-mapped arrays stay on disk


def _blocks(outputs: NDArray[np.floating]) -> range:
    return range(0, len(outputs), max(1, BLOCK_VALUES // max(1, outputs.shape[1])))


def check_outputs(outputs: NDArray[np.floating], kind: str, what: str, *, warn: bool = True) -> None:
    """outputs : floating [n, C], finite; rows of probabilities sum to 1 within 1e-3. Warns of logits that look like them."""
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ContentError(f"{what}: outputs of shape {list(outputs.shape)}; expected [units, classes] with 2 classes or more")
    if outputs.dtype.kind != "f":
        raise ContentError(f"{what}: outputs are {outputs.dtype}; expected floating point numbers")
    looks_like_probabilities = True
    step = _blocks(outputs).step
    for start in _blocks(outputs):
        block = outputs[start : start + step]
        sums = block.sum(axis=1, dtype=np.float64)
        if not np.isfinite(sums).all():
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                bad = start + int(np.flatnonzero(~finite)[0])
                raise ContentError(f"{what}: NaN or infinity in row {bad} and {(~finite).sum() - 1} more of this block")
        # Cheap test first: a block whose sums are off needs no look at its signs.
        unit_sums = np.abs(sums - 1) <= PROBABILITY_TOLERANCE
        if kind == "probabilities" or looks_like_probabilities:
            nonnegative = block.min(initial=0) >= 0
        if kind == "probabilities" and not (nonnegative and unit_sums.all()):
            if not nonnegative:
                row = start + int(np.flatnonzero((block < 0).any(axis=1))[0])
                raise ContentError(f"{what}: row {row} has a negative value; these are no probabilities, import them with --logits")
            row = int(np.flatnonzero(~unit_sums)[0])
            raise ContentError(
                f"{what}: row {start + row} sums to {sums[row]:.6g}; probabilities sum to 1 within {PROBABILITY_TOLERANCE}; "
                f"import logits with --logits"
            )
        looks_like_probabilities = looks_like_probabilities and bool(nonnegative and unit_sums.all())
    if warn and kind == "logits" and looks_like_probabilities and len(outputs):
        warnings.warn(
            f"{what}: declared as logits, but every row is non-negative and sums to 1; if these are softmax outputs, "
            f"import them with --probabilities",
            stacklevel=3,
        )


def check_float16(outputs: NDArray[np.floating], what: str) -> None:
    step = _blocks(outputs).step
    for start in _blocks(outputs):
        largest = float(np.abs(outputs[start : start + step]).max(initial=0))
        if largest > 65504:
            raise ContentError(f"{what}: a value of {largest:.4g} does not fit float16; store it as float32")


def check_labels(labels: NDArray[np.generic], classes: int | None, what: str) -> NDArray[np.generic]:
    """int64 [n] in 0..C-1 for outputs; text or int64 for answers (classes None)."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ContentError(f"{what}: labels of shape {list(labels.shape)}; expected one label for each unit")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.trunc(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    if labels.dtype.kind in "iu":
        labels = labels.astype(np.int64)
    elif classes is not None:
        raise ContentError(f"{what}: labels are {labels.dtype}, for example {labels[:1].tolist()}; expected whole numbers from 0")
    if classes is not None and len(labels):
        bad = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(bad):
            raise ContentError(
                f"{what}: label {labels[bad[0]]} of row {bad[0]} (and {len(bad) - 1} more) is outside the {classes} classes 0..{classes - 1}"
            )
    return labels if labels.dtype.kind in "iu" else labels.astype(np.str_)


def check_unit_ids(unit_ids: Sequence[str], what: str) -> None:
    if len(set(unit_ids)) != len(unit_ids):
        seen: set[str] = set()
        twice = next(unit for unit in unit_ids if unit in seen or seen.add(unit))  # type: ignore[func-returns-value]
        raise AlignmentError(f"{what}: unit id {twice!r} stands more than once; every unit needs one row")


def check_column(values: NDArray[np.floating], rows: int, what: str, *, least: float | None = None) -> None:
    """A score or per-unit cost: one finite number for every row."""
    if values.shape != (rows,):
        raise AlignmentError(f"{what}: {list(values.shape)} values for {rows:,} units")
    if not np.isfinite(values).all():
        raise ContentError(f"{what}: NaN or infinity in row {int(np.flatnonzero(~np.isfinite(values))[0])}")
    if least is not None and (values < least).any():
        row = int(np.flatnonzero(values < least)[0])
        raise ContentError(f"{what}: {values[row]} in row {row}; expected at least {least}")
