"""Checks of what members return."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.runtime.outputs import Outputs, plain


def checked(name: str, given: Any, units: int) -> Outputs:
    """What a member returned for n units as Outputs: rows float32 [n, C], answers int64 or text [n], scores float32 and
    costs float64 [n]; ContentError unless there are n of each. Rows and scores may hold numbers that are not finite."""
    if not isinstance(given, Outputs):
        values = plain(given)
        is_answers = isinstance(values, (list, tuple)) and values and isinstance(values[0], str)
        is_answers = is_answers or (isinstance(values, np.ndarray) and values.dtype.kind in "USO")
        given = Outputs(answers=values) if is_answers else Outputs(rows=values)
    if (given.rows is None) == (given.answers is None):
        gave = "neither rows nor answers" if given.rows is None else "both rows and answers"
        raise ContentError(f"{name}: gave {gave}; expected one of them")
    scores = {key: _column(name, f"score {key!r}", values, units, np.float32) for key, values in given.scores.items()}
    costs = {key: _column(name, f"cost {key!r}", values, units, np.float64) for key, values in given.costs.items()}
    if wrong := [key for key, values in costs.items() if not np.isfinite(values).all()]:
        raise ContentError(f"{name}: its cost {wrong[0]!r} is not finite; expected {units} numbers")
    if given.rows is None:
        return Outputs(None, _answers(name, given.answers, units), scores, costs)
    return Outputs(_rows(name, given.rows, units), None, scores, costs)


def unusable(name: str, outputs: Outputs) -> tuple[NDArray[np.bool_], ContentError | None]:
    """bool [n]: the units of checked outputs whose rows or scores are not finite; and the error that names the first
    of these numbers, if any."""
    columns = {f"score {key!r}": values[:, None] for key, values in outputs.scores.items()}
    values = {"": outputs.rows, **columns} if outputs.rows is not None else columns
    units, error = np.zeros(len(outputs), np.bool_), None
    for what, numbers in values.items():
        wrong = ~np.isfinite(numbers)
        if not wrong.any():
            continue
        units |= wrong.any(axis=1)
        row, column = (int(indices[0]) for indices in np.nonzero(wrong))
        place = f"class {column}" if what == "" else what
        error = error or ContentError(f"{name}: {numbers[row, column]} in row {row}, {place}; expected numbers")
    return units, error


def _rows(name: str, given: Any, units: int) -> NDArray[np.float32]:
    try:
        rows = np.asarray(plain(given), np.float32)
    except (TypeError, ValueError) as error:
        shown = type(given).__name__
        raise ContentError(f"{name}: answered with a {shown}; expected numbers [n, classes]") from error
    if rows.ndim != 2 or len(rows) != units or rows.shape[1] < 2:
        raise ContentError(
            f"{name}: answered with shape {list(rows.shape)} to {units} units; expected [units, classes], 2 classes or "
            f"more"
        )
    return rows


def _answers(name: str, given: Any, units: int) -> NDArray[np.generic]:
    answers = np.asarray(given)
    if answers.dtype.kind == "O" and all(isinstance(answer, str) for answer in answers.ravel()):
        answers = answers.astype(np.str_)
    if answers.shape != (units,) or answers.dtype.kind not in "iuU":
        raise ContentError(
            f"{name}: answered with {answers.dtype} {list(answers.shape)} to {units} units; expected a text or a class "
            f"number for each"
        )
    return answers if answers.dtype.kind == "U" else answers.astype(np.int64)


def _column(name: str, what: str, given: Any, units: int, dtype: Any) -> NDArray[Any]:
    try:
        values = np.asarray(plain(given), dtype)
    except (TypeError, ValueError) as error:
        raise ContentError(f"{name}: its {what} is a {type(given).__name__}; expected numbers [n]") from error
    if values.shape != (units,):
        raise ContentError(f"{name}: its {what} has shape {list(values.shape)}; expected {units} finite numbers")
    return values
