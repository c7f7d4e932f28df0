"""Groups of units that belong together (a patient, a video, an author), none of which is divided between splits.

groups.parquet of a split holds unit_id and a text column for each way of grouping: the columns of the labels file in
which units are equal. A split without the file has no groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AbsentNameError, AlignmentError, ContentError, StoreError, counted
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.layout import groups_path
from wisecommittee.store.parquet.units_file import decode_texts, encode_texts

MOST_COLUMNS = 64


def grouping(columns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The columns [N] that group units: columns in which at least two units are equal."""
    return {name: list(values) for name, values in columns.items() if len(set(values)) < len(values)}


def write_groups(store: Catalog, split: str, unit_ids: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
    """Add ways of grouping the units of a split to those it has; columns : text [N] in the order of unit_ids."""
    rows = {unit: row for row, unit in enumerate(unit_ids)}
    order = [rows[unit] for unit in store.unit_ids(split)]
    kept = read_groups(store, split) | {name: [values[i] for i in order] for name, values in columns.items()}
    if len(kept) > MOST_COLUMNS:
        raise StoreError(
            f"{split}: {len(kept)} columns that group units; expected {MOST_COLUMNS} at most; leave some out"
        )
    store.files.write(groups_path(split), encode_texts({"unit_id": store.unit_ids(split), **kept}))


def read_groups(store: Catalog, split: str) -> dict[str, list[str]]:
    """{column: text [N]} in unit order."""
    path = groups_path(split)
    try:
        columns = decode_texts(store.files.read(path), store.files.uri_of(path))
    except FileNotFoundError:
        return {}
    rows = {unit: row for row, unit in enumerate(columns.pop("unit_id", ()))}
    units = store.unit_ids(split)
    if not rows.keys() >= set(units):
        raise AlignmentError(
            f"{store.files.uri_of(path)}: other units than those of {split}; import the labels again with their columns"
        )
    return {name: [values[rows[unit]] for unit in units] for name, values in columns.items()}


def groups_of(store: Catalog, split: str, column: str) -> NDArray[np.int64]:
    """int64 [N]: the number of each unit's group, in the order of the groups' names."""
    known = read_groups(store, split)
    if column not in known:
        raise AbsentNameError(
            f"column that groups units of {split} (import labels from a table that has it beside unit_id and label)",
            column,
            known,
        )
    if blank := known[column].count(""):
        raise ContentError(
            f"{split}: {counted(blank, 'unit')} of {len(known[column]):,} have nothing in column {column!r}; are they "
            f"one group or many? Fill the column and import the labels again"
        )
    return np.unique(np.array(known[column], dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def assign_groups(
    labels: NDArray[np.generic], groups: NDArray[np.int64], shares: Mapping[str, float], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Rows of each new split, ascending; no group is in two splits. Groups are assigned from the largest on, in random
    order among equals, each to the split whose counts by label it brings closest to its share."""
    names = list(shares)
    weights = np.array([shares[name] for name in names], np.float64)
    weights /= weights.sum()
    kinds, label = np.unique(labels, return_inverse=True)
    sizes = np.bincount(groups)
    counts = np.zeros((len(sizes), len(kinds)))
    np.add.at(counts, (groups, label), 1)
    wanted = weights[:, None] * counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(sizes))
    home = np.zeros(len(sizes), np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        # (wanted - counts)^2 - wanted^2, over what would be left of each split
        change = (counts[group] * (counts[group] - 2 * wanted)).sum(axis=1)
        home[group] = change.argmin()
        wanted[home[group]] -= counts[group]
    return {name: np.flatnonzero(home[groups] == k) for k, name in enumerate(names)}
