"""Members as callables, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, UsageError, WiseCommitteeError
from wisecommittee.runtime.estimators import called, is_estimator
from wisecommittee.runtime.rows import count, slices


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a member returns for n units, where an array of its outputs does not say all.

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


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a committee: a callable, and how it is called.

    Parameters
    ----------
    call : callable or scikit-learn estimator
        From the inputs of n units to float [n, C], to n answers, or to `Outputs`.
    softmax : bool
        Put a softmax behind a model that was chosen on its probabilities and gives logits.
    columns : sequence of int, optional
        The outputs that the committee uses; by default all.
    batch_size : int, optional
        Most units in a call; by default that of the runtime.
    """

    call: Callable[[Any], Any]
    softmax: bool = False
    columns: tuple[int, ...] | None = None
    batch_size: int | None = None

    @classmethod
    def of(cls, name: str, given: Any, kind: str) -> Member:
        """A member from what the caller of a runtime names; kind : 'logits', 'probabilities' or 'answers'."""
        member = given if isinstance(given, Member) else cls(given)
        if is_estimator(member.call):
            return cls(called(name, member.call, kind), member.softmax, member.columns, member.batch_size)
        if not callable(member.call):
            raise UsageError(
                f"{name}: a {type(member.call).__name__}; expected a callable from inputs to outputs, or an estimator "
                f"with predict_proba or decision_function"
            )
        return member

    def __call__(self, name: str, inputs: Any, batch_size: int) -> Outputs:
        """The outputs for all units, checked, in calls of at most batch_size units."""
        parts = [_called(name, self.call, part) for part in slices(inputs, self.batch_size or batch_size)]
        return parts[0] if len(parts) == 1 else _joined(parts)


def _called(name: str, call: Callable[[Any], Any], inputs: Any) -> Outputs:
    try:
        given = call(inputs)
    except WiseCommitteeError:
        raise
    except Exception as error:
        raise WiseCommitteeError(f"{name}: calling it raised {type(error).__name__}: {error}") from error
    return checked(name, given, count(inputs))


def checked(name: str, given: Any, units: int) -> Outputs:
    """What a member returned for n units as Outputs: rows float32 [n, C], answers int64 or text [n], scores float32 and
    costs float64 [n]; ContentError unless there are n of each, and all numbers are finite."""
    if not isinstance(given, Outputs):
        plain = _plain(given)
        is_answers = isinstance(plain, (list, tuple)) and plain and isinstance(plain[0], str)
        is_answers = is_answers or (isinstance(plain, np.ndarray) and plain.dtype.kind in "USO")
        given = Outputs(answers=plain) if is_answers else Outputs(rows=plain)
    if (given.rows is None) == (given.answers is None):
        raise ContentError(f"{name}: gave {'neither' if given.rows is None else 'both'} rows and answers; expected one")
    scores = {key: _column(name, f"score {key!r}", values, units, np.float32) for key, values in given.scores.items()}
    costs = {key: _column(name, f"cost {key!r}", values, units, np.float64) for key, values in given.costs.items()}
    if given.rows is None:
        return Outputs(None, _answers(name, given.answers, units), scores, costs)
    return Outputs(_rows(name, given.rows, units), None, scores, costs)


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
    if not np.isfinite(rows).all():
        row, column = (int(indices[0]) for indices in np.nonzero(~np.isfinite(rows)))
        raise ContentError(f"{name}: {rows[row, column]} in row {row}, class {column}; expected numbers")
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
    if values.shape != (units,) or not np.isfinite(values).all():
        raise ContentError(f"{name}: its {what} has shape {list(values.shape)}; expected {units} finite numbers")
    return values


def _joined(parts: list[Outputs]) -> Outputs:
    first = parts[0]
    for part in parts:
        if (part.rows is None) != (first.rows is None) or {*part.scores} != {*first.scores}:
            raise ContentError("a member gave outputs of another form in a later call; expected the same in each")

    def every(values: list[Any]) -> Any:
        return np.concatenate(values)

    return Outputs(
        None if first.rows is None else every([part.rows for part in parts]),
        None if first.answers is None else every([part.answers for part in parts]),
        {key: every([part.scores[key] for part in parts]) for key in first.scores},
        {key: every([part.costs[key] for part in parts]) for key in first.costs},
    )
