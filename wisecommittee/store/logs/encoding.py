"""Records -> Arrow, without what is empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.records import Records

_TEXT = pa.large_string()


def encoded(records: Records, file: int, form: Callable[[str], str]) -> pa.RecordBatch:
    """A block of records as Arrow.

    Columns: file (`file`), line, unit_id, answer or outputs, label, grade, and score:NAME, cost:NAME, feature:NAME.
    What is missing is null, and so is an answer or a label that is empty. form : the function that brings answers and
    labels to the text by which they are compared.
    """
    known: dict[str, str] = {}  # forms of the texts of this block

    def formed(text: object) -> str | None:
        if text is None:
            return None
        text = str(text)
        if text not in known:
            known[text] = form(text)
        return known[text] or None

    columns: dict[str, pa.Array] = {
        "file": pa.array(np.full(len(records), file, np.int32)),
        "line": pa.array(np.asarray(records.lines, np.int64)),
    }
    try:
        columns["unit_id"] = pa.array(list(records.unit_ids), _TEXT)
        if records.answers is not None:
            columns["answer"] = pa.array([formed(text) for text in records.answers], _TEXT)
        if records.outputs is not None:
            columns["outputs"] = _lists(records.outputs)
        if records.labels is not None:
            columns["label"] = _labels(records, formed)
        if records.grades is not None:
            columns["grade"] = _numbers(records.grades)
        columns |= {f"score:{name}": _numbers(values) for name, values in records.scores.items()}
        columns |= {f"cost:{name}": _numbers(values) for name, values in records.unit_costs.items()}
        columns |= {f"feature:{name}": _feature(values) for name, values in records.features.items()}
    except UnicodeEncodeError as error:
        raise ContentError(
            f"{records.file}: lines {records.lines[0]:,} to {records.lines[-1]:,}: a text that is no Unicode "
            f"({error.reason}); expected UTF-8"
        ) from None
    return pa.record_batch(columns)


def _numbers(values: Any) -> pa.Array:
    """float64, null for NaN."""
    return pa.array(np.asarray(values, np.float64), from_pandas=True)


def _feature(values: Any) -> pa.Array:
    array = np.asarray(values)
    return _numbers(array) if array.dtype.kind in "iufb" else pa.array([v if v else None for v in values], _TEXT)


def _lists(outputs: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> pa.Array:
    if isinstance(outputs, np.ndarray) and outputs.ndim == 2:
        lengths, values = np.full(len(outputs), outputs.shape[1]), outputs.ravel()
    else:
        lengths = np.fromiter(map(len, outputs), np.int64, len(outputs))
        values = np.fromiter(chain.from_iterable(outputs), np.float64, int(lengths.sum()))
    return pa.LargeListArray.from_arrays(np.r_[0, np.cumsum(lengths)], pa.array(values))


def _labels(records: Records, formed: Callable[[object], str | None]) -> pa.Array:
    """Text of answers; of outputs the number of the class, int64. Null for a unit without a label."""
    labels = records.labels
    assert labels is not None
    if records.kind == "answers":
        return pa.array([formed(label) for label in labels], _TEXT)
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return pa.array(labels.astype(np.int64), mask=labels < 0)
    return pa.array([_class(label, records, at) for at, label in enumerate(labels)], pa.int64())


def _class(label: Any, records: Records, at: int) -> int | None:
    names: Mapping[str, int] = {name: number for number, name in enumerate(records.class_names or ())}
    if label is None or str(label) in names:
        return None if label is None else names[str(label)]
    if str(label).isdecimal() and not names:
        return int(label)
    raise ContentError(
        f"{records.file}: line {records.lines[at]:,}: label {str(label)[:40]!r}; expected "
        + (f"one of the classes {', '.join(names)[:80]}" if names else "the number of the right choice, from 0")
    )
