"""Labels that are the predictions of a trusted model, so that quality is agreement with it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import NO_TEXT
from wisecommittee.errors import StoreError, counted
from wisecommittee.store import checks
from wisecommittee.store.parquet.units_file import units_hash
from wisecommittee.store.units import SplitUnits


@dataclass(frozen=True, slots=True)
class TrustedUnits:
    """The units of a split to which a trusted model gives an answer, with its predictions as labels.

    rows : int64 [n] their positions in the split, ascending; None: all of them. total : number of units of the split
    """

    units: SplitUnits
    rows: NDArray[np.int64] | None
    total: int

    @property
    def left_out(self) -> int:
        """Number of units without an answer of the trusted model."""
        return self.total - len(self.units.index)


def without_labels(units: SplitUnits) -> TrustedUnits:
    """The units of a split that does not hold the trusted model."""
    labels = np.full(len(units.index), checks.NO_LABEL, np.int64)
    return TrustedUnits(replace(units, labels=labels), None, len(labels))


def trusted_units(units: SplitUnits, predictions: NDArray[np.generic], model: str, split: str) -> TrustedUnits:
    """The units of a split with these predictions [N] of a model as labels: classes, or answers as text.

    An answer that the model refuses is no truth: units without one are left out, with a warning.
    """
    total, rows = len(predictions), None
    if predictions.dtype.kind == "U" and (predictions == NO_TEXT).any():
        rows = np.flatnonzero(predictions != NO_TEXT)
        if not len(rows):
            raise StoreError(f"{model} answers no unit of {split}, name another model")
        warnings.warn(
            f"{model} gives no answer to {counted(total - len(rows), 'unit')} of {total:,} in {split}; they have no "
            f"label and are left out",
            stacklevel=2,
        )
    ids = list(units.index)
    labels, kept = (predictions, ids) if rows is None else (predictions[rows], [ids[row] for row in rows.tolist()])
    labels.flags.writeable = False
    index = {unit: row for row, unit in enumerate(kept)}
    return TrustedUnits(SplitUnits(units.file, units.stamp, index, labels, units_hash(kept, labels)), rows, total)
