"""The outputs of a model in a file: an array, or a table with a column for each class."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, counted
from wisecommittee.store.readers.classes import ClassColumns, class_columns, positive
from wisecommittee.store.readers.formats import Array, read_file
from wisecommittee.store.readers.frames import as_text, numbers, unit_ids
from wisecommittee.tasks.text import comparable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Outputs:
    """values : floating [N, C], memory-mapped from .npy. unit_ids : [N], None where the file has none. columns : which
    classes the headings of a table name; None of arrays, whose column k is class k."""

    values: NDArray[np.floating]
    unit_ids: list[str] | None = None
    columns: ClassColumns | None = None


def read_outputs(file: str | os.PathLike[str], kind: str, known: frozenset[str] = frozenset()) -> Outputs:
    """Logits or probabilities (`kind`) from a file of any format of READERS: an array [N, C], or a table.

    One column ([N] or [N, 1]) is the probability or the logit of class 1 of two. known : labels that are names of
    classes.
    """
    path = Path(file)
    content = read_file(path)
    outputs = Outputs(*content) if isinstance(content, Array) else _from_table(content, path, known)
    values = outputs.values
    if values.dtype.kind in "iu" and values.ndim == 2 and values.shape[1] > 1:
        values = values.astype(np.float32)
    if values.dtype.kind != "f" or values.ndim not in (1, 2):
        raise ContentError(
            f"{path}: {values.dtype} array of shape {list(values.shape)}; expected numbers [units, classes], or "
            f"[units] of class 1 of two"
        )
    if values.ndim == 1 or values.shape[1] == 1:
        values = _of_two_classes(values.reshape(-1), kind)
    return replace(outputs, values=values)


def _of_two_classes(values: NDArray[np.floating], kind: str) -> NDArray[np.floating]:
    """Logits or probabilities [N, 2] from those of class 1."""
    first = 1 - values if kind == "probabilities" else np.zeros_like(values)
    return np.column_stack([first, values])


def _from_table(table: pd.DataFrame, path: Path, known: frozenset[str]) -> Outputs:
    table = as_text(table, path, ("unit_id",))
    ids = unit_ids(table, path)
    classes = table.drop(columns="unit_id", errors="ignore")
    if list(classes.columns) == ["outputs"]:
        return Outputs(_from_lists(classes["outputs"], path), ids)
    if len(classes.columns) == 1 and not any(mark in classes.columns[0] for mark in ";\t"):
        name = comparable(classes.columns[0])
        values = numbers(classes.iloc[:, 0], f"{path}: {name}")
        if name in known and len(known) == 2:  # of two classes, the class that the heading names
            return Outputs(values, ids, ClassColumns((*(known - {name}), name), None))
        positive(name, str(path))
        return Outputs(values, ids)
    if len(classes.columns) < 2:
        given = ", ".join(map(repr, table.columns))
        raise ContentError(
            f"{path}: columns {given}; expected unit_id and a column for each class, separated by commas"
        )
    columns = class_columns(list(classes.columns), str(path), known)
    values = np.column_stack([numbers(classes[name], f"{path}: {name}") for name in classes.columns])
    _warn_of_counts(values, columns, path)
    if columns.order is not None and columns.order != tuple(range(len(columns.order))):
        values = values[:, columns.order]
    return Outputs(values, ids, columns)


def _from_lists(column: pd.Series, path: Path) -> NDArray[np.floating]:
    """A Parquet column of lists, one of the same length for each unit."""
    if any(isinstance(row, str) for row in column):
        raise ContentError(f"{path}: column outputs holds text; expected lists of numbers, or a column for each class")
    empty = column.isna()
    if empty.any():
        raise ContentError(
            f"{path}: {counted(int(empty.sum()), 'row')} without outputs, the first is row "
            f"{int(np.flatnonzero(empty)[0])}; leave these units out of the split, or run the model on them"
        )
    lengths = column.map(len)
    if lengths.nunique() != 1:
        odd = int(np.flatnonzero(lengths != lengths.mode()[0])[0])
        raise ContentError(
            f"{path}: {lengths.iloc[odd]} outputs in row {odd}, {lengths.mode()[0]} in others; expected the same "
            f"number of classes in each row"
        )
    values = np.stack(column.to_list())
    if values.dtype.kind == "O":  # a list with an empty element
        raise ContentError(f"{path}: column outputs has empty or nested elements; expected lists of numbers")
    return values


def _warn_of_counts(values: NDArray[np.float64], columns: ClassColumns, path: Path) -> None:
    """Warn of a column of whole numbers beside columns of fractions: it counts something and is no output of a
    network."""
    if len(values) < 3:
        return
    with np.errstate(invalid="ignore"):
        whole = (values == np.rint(values)).all(axis=0)
        varies = (values != values[:1]).any(axis=0)
    odd = [name for name, is_whole, does_vary in zip(columns.names, whole, varies, strict=True) if is_whole & does_vary]
    if odd and len(odd) < len(columns.names) / 2 and not whole.all():
        warnings.warn(
            f"{path}: column {odd[0]!r} holds whole numbers only, unlike the others; it is read as a class; leave it "
            f"out if it is none",
            stacklevel=2,
        )
