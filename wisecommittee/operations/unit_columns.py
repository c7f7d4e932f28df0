"""A column of text over the units of a split: their labels, a committee's answers, a column of a labels file or of any
table."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.errors import AbsentNameError, AlignmentError, StoreError, counted
from wisecommittee.store import LogitStore
from wisecommittee.store.groups import read_groups
from wisecommittee.store.readers.frames import named_column, read_table, unit_ids

LABELS = ("label", "class")
PREDICTED = "predicted"
BLANK = "(blank)"
UNANSWERED = "(no answer)"


def column_of_split(store: LogitStore, split: str, by: str, predicted: NDArray[np.generic] | None) -> NDArray[np.str_]:
    """Text [N]: the label of each unit, the answer `predicted` [N], or a column that groups the units of the split."""
    if by in LABELS:
        return named_classes(store, split, store.labels(split))
    if by == PREDICTED and predicted is not None:
        return named_classes(store, split, predicted)
    groups = read_groups(store, split)
    if by not in groups:
        known = [*LABELS, *([PREDICTED] if predicted is not None else []), *groups]
        raise AbsentNameError(
            f"column of {split} (import the labels from a table that has it beside unit_id and label, or name a table)",
            by,
            known,
        )
    return np.array([value or BLANK for value in groups[by]])


def column_of_file(file: str | os.PathLike[str], by: str, units: Sequence[str]) -> NDArray[np.str_]:
    """Text [N]: a column of a table with unit_id, in the order of these units; the table may have other units too."""
    table = read_table(file, ("unit_id", by), blank=(by,))
    ids = unit_ids(table, file)
    if ids is None:
        raise StoreError(f"{file}: no column 'unit_id'; expected it beside {by!r}, to say which unit each row is")
    column = dict(zip(ids, named_column(table, by, file), strict=True))
    if len(column) != len(ids):
        twice = next(unit for unit in ids if ids.count(unit) > 1)
        raise AlignmentError(f"{file}: unit id {twice!r} stands more than once; every unit needs one row")
    if missing := [unit for unit in units if unit not in column]:
        raise AlignmentError(
            f"{file}: no row for {counted(len(missing), 'unit')} of {len(units):,}, such as {missing[0]!r}; add them"
        )
    return np.array([column[unit] or BLANK for unit in units])


def named_classes(store: LogitStore, split: str, classes: NDArray[np.generic]) -> NDArray[np.str_]:
    """Text [N]: names of these classes where the store has names, else their numbers; answers as they are; UNANSWERED
    where a committee gives no answer."""
    names = store.class_names(split)
    if classes.dtype.kind not in "iu":
        return np.where(classes == NO_TEXT, UNANSWERED, classes.astype(np.str_))
    named = classes.astype(np.str_) if names is None else np.array(names)[classes]
    return np.where(classes == NO_CLASS, UNANSWERED, named)
