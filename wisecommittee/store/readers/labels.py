"""Labels of a file, and the label of each row of a model: paired by unit id, or in order where that is safe."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AlignmentError, ContentError, counted, option
from wisecommittee.store import checks
from wisecommittee.store.groups import grouping
from wisecommittee.store.readers.classes import means_something_else
from wisecommittee.store.readers.formats import Array, read_file
from wisecommittee.store.readers.frames import as_text, named_column, unit_ids
from wisecommittee.tasks.text import comparable, is_missing


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a file.

    values : int64 or float64 [N] of an array of numbers, else text [N] (see tasks/text.py). unit_ids : [N], None where
    the file has none: then labels are in the order of the rows they belong to. groups : {column: text [N]} of further
    columns by which units belong together (store/groups.py).
    """

    file: Path
    values: NDArray[np.generic]
    unit_ids: list[str] | None
    groups: Mapping[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def groups_of(self, rows: NDArray[np.int64]) -> dict[str, list[str]]:
        """The further columns at these rows."""
        return {name: [values[row] for row in rows.tolist()] for name, values in self.groups.items()}

    @property
    def texts(self) -> list[str]:
        return [comparable(str(value)) for value in self.values.tolist()]

    @property
    def numbers(self) -> NDArray[np.generic] | None:
        """The labels as numbers, int64 [N] where they are whole; None if they are words."""
        if self.values.dtype.kind != "U":
            return self.values
        digits = [text.removeprefix("-") for text in self.values.tolist()]
        if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in digits):
            return None
        return np.array([int(text) for text in self.values.tolist()], dtype=np.int64)


def read_labels(file: str | os.PathLike[str]) -> Labels:
    """An array [N], or a table with columns unit_id and label, from a file of any format of READERS; ContentError names
    a label that is missing."""
    path = Path(file)
    content = read_file(path)
    if isinstance(content, Array):
        values = checks.as_labels(content.values, str(path))
        if values.dtype.kind in "SU":
            values = _texts(checks.as_text(values, "label", str(path)), path)
        return Labels(path, values, content.unit_ids)
    table = as_text(content, path, ("unit_id", "label"))
    values = _texts(named_column(table, "label", path).tolist(), path)
    ids = unit_ids(table, path)
    if ids is None:
        for name in table.columns:
            if name != "label" and means_something_else(name) and not _counts(table[name].tolist()):
                shown = f"column {name!r}" if name else "the column without a heading"
                raise ContentError(
                    f"{path}: no column unit_id, but {shown} is not 0, 1, 2, ..: does it say which unit a label "
                    f"belongs to? Name it unit_id if so, else leave it out"
                )
    further = [name for name in table.columns if name not in ("unit_id", "label", "")]
    texts = {name: [comparable(str(value)) for value in table[name]] for name in further}
    return Labels(path, values, ids, grouping(texts))


def no_labels(unit_ids: list[str] | None, rows: int) -> Labels:
    """The labels of a split without labels, for these rows."""
    return Labels(Path("(no labels)"), np.full(rows, checks.NO_LABEL, np.int64), unit_ids)


def _texts(labels: Sequence[str], path: Path) -> NDArray[np.str_]:
    texts = [comparable(label) for label in labels]
    if empty := [row for row, text in enumerate(texts) if is_missing(text)]:
        raise ContentError(
            f"{path}: {counted(len(empty), 'unit')} without a label, the first in row {empty[0]}; expected a label for "
            f"each; leave these units out of labels and outputs"
        )
    return checks.text_array(texts, str(path))


def _counts(values: Sequence[object]) -> bool:
    """Whether these are 0, 1, 2, .. in order: a row index."""
    return [comparable(str(value)) for value in values] == [str(i) for i in range(len(values))]


def pair(
    labels: Labels, unit_ids: Sequence[str] | None, rows: int, what: str, *, by_position: bool = False
) -> tuple[list[str], NDArray[np.int64]]:
    """Unit ids [rows] of a model's rows, and the row of `labels` that belongs to each, int64 [rows].

    By id where both sides have ids. Where one side has none, rows are paired in order if the ids are '0', '1', .. in
    order, as rows without ids are called, or if the caller says so.
    """
    n = len(labels)
    numbered = [str(i) for i in range(max(n, rows))]
    known = labels.unit_ids
    if unit_ids is not None and known is not None:
        return list(unit_ids), _label_rows(known, unit_ids, labels.file, what)
    if rows != n:
        raise AlignmentError(
            f"{what}: {counted(rows, 'row')}, {labels.file} has {counted(n, 'label')}; expected one label for each row"
        )
    named = known if unit_ids is None else list(unit_ids)
    if named is not None and named != numbered and not by_position:
        with_ids, without = (labels.file, what) if unit_ids is None else (what, labels.file)
        first = ", ".join(repr(unit) for unit in named[:3])
        raise AlignmentError(
            f"{with_ids} says which unit each row is ({first}, ..), {without} does not, so their order may differ; "
            f"give both a column unit_id, or pair them row by row with {option('by_position', True)}"
        )
    return named if named is not None else numbered, np.arange(n)


def _label_rows(known: Sequence[str], given: Sequence[str], file: Path, what: str) -> NDArray[np.int64]:
    row_of = {unit: i for i, unit in enumerate(known)}
    if len(row_of) != len(known):
        twice = next(unit for i, unit in enumerate(known) if row_of[unit] != i)
        raise AlignmentError(f"{file}: unit id {twice!r} stands more than once; every unit needs one label")
    unknown = [unit for unit in given if unit not in row_of]
    lost = set(row_of) - set(given)
    if unknown:
        first = unknown[0]
        other = _likeness(first, known if not lost else [unit for unit in known if unit in lost])
        raise AlignmentError(
            f"{what}: {counted(len(unknown), 'unit')} not among the labels of {file}, such as {_shown(first)}; "
            f"{other}; write the same ids on both sides"
        )
    if lost:
        unit = next(unit for unit in known if unit in lost)
        raise AlignmentError(
            f"{what}: {counted(len(given), 'row')}, {file} has {counted(len(known), 'label')}; unit {_shown(unit)} has "
            f"no row; leave its label out, or give its outputs"
        )
    return np.array([row_of[unit] for unit in given], dtype=np.int64)


def _likeness(unit: str, others: Sequence[str]) -> str:
    """A similar id of the other side, and why it may be the same unit, for messages."""
    forms = (
        ("Unicode form (NFC or NFD)", lambda text: unicodedata.normalize("NFC", text)),
        ("white space", lambda text: "".join(text.split())),
        ("the way a number is written", _as_number),
        ("bytes written as text", lambda text: text[2:-1] if text[:2] in ("b'", 'b"') else text),
        ("case", str.casefold),
        ("the folder", lambda text: text.replace("\\", "/").rpartition("/")[2]),
        ("the file's ending", lambda text: text.rpartition(".")[0] or text),
    )
    for cause, form in forms:
        wanted = form(unit)
        for other in others:
            if form(other) == wanted:
                return f"they have {_shown(other)}, which differs in {cause}"
    return f"they have {_shown(others[0])}" if others else "they have no other"


def _as_number(text: str) -> str:
    try:
        return repr(float(text))
    except ValueError:
        return text


def _shown(unit: str) -> str:
    """An id with its invisible characters shown."""
    return ascii(unit)
