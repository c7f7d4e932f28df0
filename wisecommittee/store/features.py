"""Features of a split in the store: features.parquet, beside units.parquet. A split without the file has none."""

from __future__ import annotations

import os
from typing import overload

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, option
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.feature_table import Features, FeatureTable, check_no_label
from wisecommittee.store.layout import features_path
from wisecommittee.store.parquet.features_file import encode_features
from wisecommittee.store.readers.features import MOST_COLUMNS, read_feature_table


def import_features(
    store: Catalog, split: str, features: str | os.PathLike[str] | FeatureTable, *, replace: bool = False
) -> dict[str, str]:
    """Import columns of the units of a split that are known before any model runs.

    Parameters
    ----------
    store : LogitStore
        Holds at least one model in the split.
    split : str
    features : path
        A .csv or .parquet table with unit_id and a column for each feature. Numbers are numbers; text is a category. It
        may have other units too.
    replace : bool
        Replace columns that have other values in the store.

    Returns
    -------
    {column: str}
        'added', 'unchanged' or 'replaced'.

    Raises
    ------
    AlignmentError
        The table lacks units of the split, or has a unit twice.
    ContentError
        A value is missing, or a column equals the labels or has other values in the store.
    """
    store.require_split(split)
    table = table_of(features)
    done = check_features(store, split, table, replace=replace)
    if set(done.values()) - {"unchanged"}:
        write_features(store, split, store.features(split) | table.of_units(store.unit_ids(split), split))
    return done


def check_features(store: Catalog, split: str, table: FeatureTable, *, replace: bool) -> dict[str, str]:
    """What `import_features` would do with each column; raises as it does, and changes nothing."""
    columns = table.of_units(store.unit_ids(split), split)
    check_no_label(columns, store.units(split).labels, table.what)
    done = changes(store.features(split), columns)
    if not replace and (other := [name for name, status in done.items() if status == "replaced"]):
        raise ContentError(
            f"{table.what}: column {other[0]!r} has other values in the store; replace them with "
            f"{option('replace', True)}"
        )
    return done


def changes(before: Features, after: Features) -> dict[str, str]:
    """{column: 'added', 'unchanged' or 'replaced'} of the columns of `after`."""
    return {
        name: "added" if name not in before else "unchanged" if _equal(before[name], values) else "replaced"
        for name, values in after.items()
    }


@overload
def table_of(features: None) -> None: ...
@overload
def table_of(features: str | os.PathLike[str] | FeatureTable) -> FeatureTable: ...
def table_of(features: str | os.PathLike[str] | FeatureTable | None) -> FeatureTable | None:
    """The table itself, or that of a file."""
    return read_feature_table(features) if isinstance(features, (str, os.PathLike)) else features


def write_features(store: Catalog, split: str, features: Features) -> None:
    """Write the features of a split, in its unit order; they replace those that it has."""
    if len(features) > MOST_COLUMNS:
        raise ContentError(f"{split}: {len(features):,} features; expected {MOST_COLUMNS:,} at most; leave some out")
    store.files.write(features_path(split), encode_features(store.unit_ids(split), features))


def _equal(first: NDArray[np.generic], second: NDArray[np.generic]) -> bool:
    return (first.dtype.kind == "f") == (second.dtype.kind == "f") and bool((first == second).all())
