"""Features: columns of the units that are known before any model runs, numbers or categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AlignmentError, ContentError, counted

Features: TypeAlias = dict[str, NDArray[np.generic]]  # {column: float64 numbers or text categories [n]}
CERTAIN = 20  # units from which on a column that equals all labels is not taken for chance


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of units by unit id.

    what : name of the file in messages; rows : {unit id: row}; columns : float64 or text [n] each.
    """

    what: str
    rows: Mapping[str, int]
    columns: Features

    def of_units(self, unit_ids: Sequence[str], split: str) -> Features:
        """The columns in the order of these units of a split; the table may have other units too."""
        missing = [unit for unit in unit_ids if unit not in self.rows]
        if missing:
            shown = ", ".join(map(repr, missing[:3])) + (", .." if len(missing) > 3 else "")
            raise AlignmentError(
                f"{self.what}: no features for {counted(len(missing), 'unit')} of {len(unit_ids):,} in {split}, such "
                f"as {shown}; give a row for each unit"
            )
        order = np.fromiter((self.rows[unit] for unit in unit_ids), np.int64, len(unit_ids))
        return {name: values[order] for name, values in self.columns.items()}


def described(features: Mapping[str, NDArray[np.generic]]) -> dict[str, dict[str, Any]]:
    """{column: {"kind": "numbers"} or {"kind": "categories", "values": their number}}."""
    return {
        name: {"kind": "numbers"}
        if values.dtype.kind == "f"
        else {"kind": "categories", "values": len(np.unique(values))}
        for name, values in features.items()
    }


def check_no_label(features: Features, labels: NDArray[np.generic], what: str) -> None:
    """ContentError if a column equals the labels [N] of all units, which are not known before a model runs."""
    if len(labels) < CERTAIN:
        return
    texts = labels.astype(np.str_)
    for name, values in features.items():
        if values.dtype.kind == "f":
            same = labels.dtype.kind in "iu" and bool((values == labels).all())
        else:
            same = bool((values.astype(np.str_) == texts).all())
        if same and len(np.unique(texts)) > 1:
            raise ContentError(
                f"{what}: column {name!r} equals the label of every unit, which is not known before a model runs; "
                f"leave it out"
            )
