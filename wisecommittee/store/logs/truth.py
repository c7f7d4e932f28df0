"""The true answers of the units of logs, and whether answers are graded beside being equal to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from wisecommittee.errors import ContentError, counted, option
from wisecommittee.store import checks
from wisecommittee.store.logs.spill import Spill
from wisecommittee.store.logs.survey import Key, Units
from wisecommittee.store.readers.labels import pair, read_labels
from wisecommittee.tasks.text import form_of_answers


@dataclass(frozen=True, slots=True)
class Truth:
    """What answers are measured against.

    Attributes
    ----------
    labels : large_string or int64 [N]
        Null where a unit has none.
    graded : bool
        Whether the quality of an answer is its grade.
    unlabelled : bool
        Whether the split has no labels.
    """

    labels: pa.Array
    graded: bool = False
    unlabelled: bool = False

    def stored(self) -> ArrayLike:
        """The labels as the store takes them, [N]."""
        if self.unlabelled:
            return np.full(len(self.labels), checks.NO_LABEL, np.int64)
        if pa.types.is_integer(self.labels.type):
            return np.asarray(self.labels.to_numpy(), np.int64)
        return np.array(self.labels.fill_null("").to_pylist(), object)


def labels_of_log(units: Units) -> pa.Array:
    """large_string or int64 [N], null where no log has a label."""
    numbers = bool(units.choices.any())
    known = pa.array([*units.labels, None], pa.int64() if numbers else pa.large_string())
    return known.take(pa.array(np.where(units.label < 0, len(units.labels), units.label)))


def labels_of_file(
    file: str | os.PathLike[str],
    units: Units,
    ids: Sequence[str],
    *,
    free_form: bool,
    class_names: Sequence[str] | None = None,
) -> pa.Array:
    """The labels of these units in a file, large_string or int64 [N]; those of other units do not count.

    class_names : of outputs, which labels may name in place of numbering them.
    """
    known = read_labels(file)
    if known.unit_ids is not None:  # units that were left out have labels, too
        among = set(ids)
        rows = np.array([row for row, unit in enumerate(known.unit_ids) if unit in among], np.int64)
        known = replace(known, values=known.values[rows], unit_ids=[known.unit_ids[row] for row in rows], groups={})
    _, order = pair(known, ids, len(ids), "the logs")
    if units.choices.any():
        numbers = known.numbers
        if class_names and set(known.texts) <= set(class_names):
            number_of = {name: number for number, name in enumerate(class_names)}
            numbers = np.array([number_of[text] for text in known.texts], np.int64)
        if numbers is None:
            names = f" or name, {', '.join(class_names)[:80]}" if class_names else ""
            raise ContentError(
                f"{file}: labels {known.texts[0]!r}..; expected the number of the right choice, from 0{names}"
            )
        return pa.array(np.asarray(numbers[order], np.int64))
    form = form_of_answers(free_form=free_form)
    return pa.array([form(text) for text in known.texts], pa.large_string()).take(pa.array(order))


def truth_of(spill: Spill, units: Units, labels: pa.Array, *, unlabelled: bool) -> Truth:
    """What the answers of these units are measured against. labels : [N]; ContentError where neither grades nor labels
    measure an answer."""
    if units.choices.any():
        graded = False
    else:
        graded = any(not _repeats(spill, units.record[key], key, labels) for key in spill.samples)
    if not graded and not unlabelled:
        require_labels(spill, units, labels)
    return Truth(labels, graded, unlabelled and not graded)


def _repeats(spill: Spill, record: NDArray[np.int64], key: Key, labels: pa.Array) -> bool:
    """Whether the grades of a model, if it has any, are 1 where its answer equals the label, and else 0."""
    table = spill.table(key, {"grade", "answer"}.__contains__)
    if "grade" not in table.column_names or table.column("grade").null_count == len(table):
        return True
    table = table.take(pa.array(record, mask=record < 0))
    right = pc.cast(pc.equal(table.column("answer"), labels), pa.float64())
    same = pc.fill_null(pc.equal(table.column("grade"), right), False)  # null without a grade, or without a label
    wrong = pc.invert(pc.fill_null(pc.greater(table.column("grade"), 0), False))
    return bool(pc.all(pc.or_(same, pc.and_(table.column("answer").is_null(), wrong))).as_py())


def require_labels(spill: Spill, units: Units, labels: pa.Array) -> None:
    """ContentError that names a unit without a label."""
    if not labels.null_count:
        return
    unit = pc.index(labels.is_null(), True).as_py()
    key: Key = next(key for key in spill.samples if units.record[key][unit] >= 0)
    raise ContentError(
        f"{spill.place(key, int(units.record[key][unit]))}: unit {units.unit_ids[unit].as_py()!r} has neither a label "
        f"nor a grade ({counted(labels.null_count, 'such unit')} of {len(labels):,}); give the true answers with "
        f"{option('labels', placeholder='FILE')}"
    )
