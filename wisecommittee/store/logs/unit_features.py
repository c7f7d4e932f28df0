"""What logs know of units before any model runs -> features, as far as they can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from wisecommittee.errors import ContentError, counted
from wisecommittee.store.feature_table import Features, FeatureTable, check_no_label
from wisecommittee.store.logs.spill import Spill
from wisecommittee.store.logs.survey import Units
from wisecommittee.store.readers.features import MOST_CHARACTERS


def features_of(spill: Spill, units: Units, ids: Sequence[str], labels: ArrayLike, notes: list[str]) -> FeatureTable:
    """The features of units, of the first model whose records have them.

    A column that is the same for all units is left out. So is one that lacks values, has long texts, or equals the
    labels [N]; that is added to the notes.
    """
    kept: Features = {}
    for name, values in _columns(spill, units).items():
        numeric = not pa.types.is_large_string(values.type)
        if values.null_count:
            notes.append(f"feature {name}: none for {counted(values.null_count, 'unit')}; left out")
        elif not numeric and max(map(len, texts := values.to_pylist())) > MOST_CHARACTERS:
            notes.append(f"feature {name}: texts of more than {MOST_CHARACTERS} characters; left out")
        else:
            column: NDArray[np.generic] = values.to_numpy().astype(np.float64) if numeric else np.array(texts, np.str_)
            if (column == column[0]).all() or (numeric and not np.isfinite(column.astype(np.float64)).all()):
                continue
            try:
                check_no_label({name: column}, np.asarray(labels), "the logs")
            except ContentError:
                notes.append(f"feature {name} equals the label of every unit; left out")
                continue
            kept[name] = column
    return FeatureTable("the logs", {unit: row for row, unit in enumerate(ids)}, kept)


def _columns(spill: Spill, units: Units) -> dict[str, pa.Array]:
    """{feature: values [N]}, filled from one model after the other; of two types the first counts."""
    out: dict[str, pa.Array] = {}
    for key in spill.samples:
        table = spill.table(key, lambda name: name.startswith("feature:"))
        at = units.record[key]
        for column in table.column_names:
            name = column.removeprefix("feature:")
            if name in out and not out[name].null_count:
                continue
            values = table.column(column).combine_chunks().take(pa.array(at, mask=at < 0))
            if name not in out:
                out[name] = values
            elif out[name].type == values.type:
                out[name] = pc.coalesce(out[name], values)
    return out
