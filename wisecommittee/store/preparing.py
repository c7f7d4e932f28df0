"""Outputs are converted to values that can be stored, before they are checked (checks.py).

Logits of -inf say that a class does not exist for a unit. They become the least number that is stored, whose
exponential is 0 beside any other: its probability is 0 in every mean, also with models that know nothing of it.
Probabilities whose sum differs from 1 by rounding to half precision are divided by their sum.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.combine import PROBABILITY_TOLERANCE
from wisecommittee.errors import ContentError, counted
from wisecommittee.store.checks import BLOCK_VALUES, ROUNDED_TOLERANCE


def prepared(
    outputs: NDArray[np.floating], labels: ArrayLike, kind: str, what: str, dtype: str = "float32"
) -> NDArray[np.floating]:
    """Outputs [n, C] as they are stored, the same array where nothing changes. Any other value is returned unchanged,
    for the checks to refuse. Warns of every change; ContentError if a label is a class that does not exist for its
    unit."""
    if not isinstance(outputs, np.ndarray) or outputs.ndim != 2 or outputs.dtype.kind != "f" or not outputs.size:
        return outputs
    if kind == "logits":
        return _without_infinity(outputs, np.asarray(labels), what, dtype)
    if kind == "probabilities":
        return _normalised(outputs, what, dtype)
    return outputs


def _blocks(outputs: NDArray[np.floating]) -> list[slice]:
    step = max(1, BLOCK_VALUES // outputs.shape[1])
    return [slice(start, start + step) for start in range(0, len(outputs), step)]


def _without_infinity(
    outputs: NDArray[np.floating], labels: NDArray[np.generic], what: str, dtype: str
) -> NDArray[np.floating]:
    out, rows, cells = None, 0, 0
    for block in _blocks(outputs):
        missing = np.isneginf(outputs[block])
        if not missing.any():
            continue
        each = missing.sum(axis=1)
        if (each == outputs.shape[1]).any():
            row = block.start + int(np.flatnonzero(each == outputs.shape[1])[0])
            raise ContentError(
                f"{what}: every logit of row {row} is -inf, so that no class exists for this unit; expected one that "
                f"does; mend the row, or leave the unit out of the split"
            )
        _check_labels(missing, labels[block], what, block.start)
        if out is None:
            with np.errstate(over="ignore"):
                out = outputs.astype(dtype)
        out[block][missing] = np.finfo(dtype).min
        rows, cells = rows + int((each > 0).sum()), cells + int(each.sum())
    if out is None:
        return outputs
    warnings.warn(
        f"{what}: {counted(cells, 'logit')} of -inf in {counted(rows, 'row')} of {len(outputs):,}: classes that do not "
        f"exist for these units, stored as the least {dtype}; their probability is 0",
        stacklevel=4,
    )
    return out


def _check_labels(missing: NDArray[np.bool_], labels: NDArray[np.generic], what: str, first: int) -> None:
    if labels.dtype.kind not in "iu" or len(labels) != len(missing):
        return  # the checks report the error
    classes: NDArray[np.int64] = labels.astype(np.int64)
    inside = np.flatnonzero((classes >= 0) & (classes < missing.shape[1]))
    wrong = inside[missing[inside, classes[inside]]]
    if len(wrong):
        raise ContentError(
            f"{what}: row {first + wrong[0]} has the label {labels[wrong[0]]}, a class that by its logit of -inf does "
            f"not exist for this unit ({counted(len(wrong), 'such row')} in this block); mend the label, or the logits"
        )


def _normalised(outputs: NDArray[np.floating], what: str, dtype: str) -> NDArray[np.floating]:
    most, rows = 0.0, 0
    for block in _blocks(outputs):
        miss = np.abs(outputs[block].sum(axis=1, dtype=np.float64) - 1)
        most = max(most, float(np.nan_to_num(miss, nan=np.inf).max()))
        rows += int((miss > PROBABILITY_TOLERANCE).sum())
    if not rows or most > ROUNDED_TOLERANCE or any((outputs[block] < 0).any() for block in _blocks(outputs)):
        return outputs
    out = np.empty(outputs.shape, dtype)
    for block in _blocks(outputs):
        wide = outputs[block].astype(np.float64)
        out[block] = wide / wide.sum(axis=1, keepdims=True)
    warnings.warn(
        f"{what}: {counted(rows, 'row')} of probabilities of {len(outputs):,} miss 1 by more than "
        f"{PROBABILITY_TOLERANCE}, by {most:.2g} at most, as half precision rounds; every row was divided by its sum",
        stacklevel=4,
    )
    return out
