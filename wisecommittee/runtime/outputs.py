"""What members return, and its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a member returns for n units, where an array of its outputs does not say all.

    A member that is called for each unit by itself gives values of that unit in place of arrays of n.

    Parameters
    ----------
    rows : float [n, C], optional
        Logits or probabilities of the classes.
    answers : n texts or class numbers, optional
        Instead of rows.
    scores : {name: float [n]}
        Confidences under the names that the store had for them.
    costs : {name: float [n]}
        What each unit has cost, such as {"usd": ..}.
    """

    rows: Any = None
    answers: Any = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, Any] = field(default_factory=dict)

    def only(self, at: NDArray[np.int64]) -> Outputs:
        """Checked outputs of the units at these positions."""
        return Outputs(
            None if self.rows is None else self.rows[at],
            None if self.answers is None else self.answers[at],
            {key: values[at] for key, values in self.scores.items()},
            {key: values[at] for key, values in self.costs.items()},
        )


def of_one(given: Any) -> Outputs:
    """What a member returned for a single unit, as outputs for one unit."""
    if not isinstance(given, Outputs):
        plain = _plain(given)
        answers = isinstance(plain, str) or np.ndim(plain) == 0
        given = Outputs(answers=plain) if answers else Outputs(rows=plain)
    return Outputs(
        None if given.rows is None else np.asarray(_plain(given.rows))[None],
        None if given.answers is None else [given.answers],
        {key: [value] for key, value in given.scores.items()},
        {key: [value] for key, value in given.costs.items()},
    )


def checked(name: str, given: Any, units: int) -> Outputs:
    """What a member returned for n units as Outputs: rows float32 [n, C], answers int64 or text [n], scores float32 and
    costs float64 [n]; ContentError unless there are n of each. Rows and scores may hold numbers that are not finite."""
    if not isinstance(given, Outputs):
        plain = _plain(given)
        is_answers = isinstance(plain, (list, tuple)) and plain and isinstance(plain[0], str)
        is_answers = is_answers or (isinstance(plain, np.ndarray) and plain.dtype.kind in "USO")
        given = Outputs(answers=plain) if is_answers else Outputs(rows=plain)
    if (given.rows is None) == (given.answers is None):
        raise ContentError(f"{name}: gave {'neither' if given.rows is None else 'both'} rows and answers; expected one")
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
    units, error = np.zeros(len(_some(outputs)), np.bool_), None
    for what, numbers in values.items():
        wrong = ~np.isfinite(numbers)
        if not wrong.any():
            continue
        units |= wrong.any(axis=1)
        row, column = (int(indices[0]) for indices in np.nonzero(wrong))
        place = f"class {column}" if what == "" else what
        error = error or ContentError(f"{name}: {numbers[row, column]} in row {row}, {place}; expected numbers")
    return units, error


def joined(parts: Sequence[Outputs]) -> Outputs:
    """Checked outputs of all units, from those of successive parts; ContentError if their forms differ."""
    first = parts[0]
    for part in parts:
        if (part.rows is None) != (first.rows is None) or {*part.scores} != {*first.scores}:
            raise ContentError("a member gave outputs of another form in a later call; expected the same in each")
        if part.rows is not None and part.rows.shape[1] != first.rows.shape[1]:
            raise ContentError(
                f"a member gave {part.rows.shape[1]} classes after {first.rows.shape[1]} in another call; expected the "
                f"same in each"
            )
    costs = dict.fromkeys(cost for part in parts for cost in part.costs)
    return Outputs(
        None if first.rows is None else np.concatenate([part.rows for part in parts]),
        None if first.answers is None else np.concatenate([part.answers for part in parts]),
        {key: np.concatenate([part.scores[key] for part in parts]) for key in first.scores},
        {key: np.concatenate([part.costs.get(key, np.zeros(len(_some(part)))) for part in parts]) for key in costs},
    )


def _some(outputs: Outputs) -> Any:
    """The rows, or else the answers."""
    return outputs.answers if outputs.rows is None else outputs.rows


def _plain(values: Any) -> Any:
    """An array of a tensor, which may be on a device and carry a gradient; all else unchanged."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return values


def _rows(name: str, given: Any, units: int) -> NDArray[np.float32]:
    try:
        rows = np.asarray(_plain(given), np.float32)
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
        values = np.asarray(_plain(given), dtype)
    except (TypeError, ValueError) as error:
        raise ContentError(f"{name}: its {what} is a {type(given).__name__}; expected numbers [n]") from error
    if values.shape != (units,):
        raise ContentError(f"{name}: its {what} has shape {list(values.shape)}; expected {units} finite numbers")
    return values
