"""Rows of one model as a value: built from the arrays of a caller, checked, cut and joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.errors import AlignmentError, ContentError
from wisecommittee.store import checks
from wisecommittee.tasks.text import comparable


@dataclass(frozen=True, slots=True)
class ModelRows:
    """Rows of one model. unit_ids [n] text; outputs [n, C] or answers [n] text; scores, unit costs, quality [n]."""

    unit_ids: list[str]
    outputs: NDArray[np.floating] | None = None
    answers: list[str] | None = None
    quality: NDArray[np.float32] | None = None
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    unit_costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.unit_ids)

    @property
    def columns(self) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
        """Names of the scores, names of the unit costs, and whether answers are graded."""
        return tuple(sorted(self.scores)), tuple(sorted(self.unit_costs)), self.quality is not None

    def slice(self, start: int, stop: int) -> ModelRows:
        cut = slice(start, stop)
        return ModelRows(
            self.unit_ids[cut],
            None if self.outputs is None else self.outputs[cut],
            None if self.answers is None else self.answers[cut],
            None if self.quality is None else self.quality[cut],
            {name: column[cut] for name, column in self.scores.items()},
            {name: column[cut] for name, column in self.unit_costs.items()},
        )

    def stored(self, dtype: np.dtype) -> ModelRows:
        """The same rows with outputs as they are stored; a copy only if the type differs."""
        if self.outputs is None or self.outputs.dtype == dtype:
            return self
        return with_fields(self, outputs=self.outputs.astype(dtype))

    def copy(self) -> ModelRows:
        """A copy of the rows, independent of the arrays that they were built from."""
        return ModelRows(
            self.unit_ids,
            None if self.outputs is None else self.outputs.copy(),
            self.answers,
            None if self.quality is None else self.quality.copy(),
            {name: column.copy() for name, column in self.scores.items()},
            {name: column.copy() for name, column in self.unit_costs.items()},
        )


def make_rows(
    what: str,
    unit_ids: Iterable[Any],
    outputs: ArrayLike | None = None,
    *,
    answers: Iterable[Any] | None = None,
    quality: ArrayLike | None = None,
    scores: Mapping[str, ArrayLike] | None = None,
    unit_costs: Mapping[str, ArrayLike] | None = None,
) -> ModelRows:
    """Rows from the arrays of a caller; outputs are not copied."""
    return ModelRows(
        checks.as_text(unit_ids, "unit id", what),
        None if outputs is None else checks.as_array(outputs, "outputs", what),
        None if answers is None else _comparable_texts(checks.as_text(answers, "answer", what)),
        None if quality is None else checks.as_column(quality, np.float32, "score", what),
        {name: checks.as_column(c, np.float32, f"score {name!r}", what) for name, c in (scores or {}).items()},
        {name: checks.as_column(c, np.float64, f"cost {name!r}", what) for name, c in (unit_costs or {}).items()},
    )


def _comparable_texts(texts: list[str]) -> list[str]:
    forms = {text: comparable(text) for text in set(texts)}
    return [forms[text] for text in texts]


def check_values(
    what: str, kind: str, rows: ModelRows, *, dtype: str = "float32", first: int = 0, warn: bool = False
) -> None:
    """Raise unless these can be rows of a model of that kind. first : the number of the first row in messages."""
    n = len(rows)
    if (rows.outputs is None) == (rows.answers is None):
        raise ContentError(f"{what}: expected either outputs or answers")
    if (kind == "answers") != (rows.answers is not None):
        given = "outputs" if rows.answers is None else "answers"
        raise ContentError(f"{what}: declared as {kind}, but {given} are given; expected what the card says")
    for noun, values in (("outputs", rows.outputs), ("answers", rows.answers)):
        if values is not None and len(values) != n:
            raise AlignmentError(f"{what}: {len(values):,} {noun} for {n:,} units; expected one row for each")
    for noun, texts in (("unit id", rows.unit_ids), ("answer", rows.answers or [])):
        checks.check_texts(texts, noun, what)
    if rows.outputs is not None:
        checks.check_outputs(rows.outputs, kind, what, dtype=dtype, warn=warn, first=first)
    if rows.quality is not None:
        if rows.answers is None:
            raise ContentError(f"{what}: a score for outputs; graded quality belongs to answers")
        checks.check_column(rows.quality, n, f"{what}: score", least=0.0, most=1.0)
    for name, score in rows.scores.items():
        if name == NO_CONFIDENCE:
            raise ContentError(f"{what}: a score named {name!r}, which means that there is none; rename it")
        checks.check_column(score, n, f"{what}: score {name!r}")
    for name, costs in rows.unit_costs.items():
        checks.check_column(costs, n, f"{what}: cost {name!r}", least=0.0)


def join(pieces: list[ModelRows]) -> ModelRows:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    return ModelRows(
        [unit for piece in pieces for unit in piece.unit_ids],
        None if first.outputs is None else np.concatenate([p.outputs for p in pieces if p.outputs is not None]),
        None if first.answers is None else [a for piece in pieces for a in (piece.answers or [])],
        None if first.quality is None else np.concatenate([p.quality for p in pieces if p.quality is not None]),
        {name: np.concatenate([p.scores[name] for p in pieces]) for name in first.scores},
        {name: np.concatenate([p.unit_costs[name] for p in pieces]) for name in first.unit_costs},
    )
