"""The rows of one model of a log, as the store takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, counted
from wisecommittee.store.logs.spill import Spill
from wisecommittee.store.logs.survey import Key, Units
from wisecommittee.store.logs.truth import Truth
from wisecommittee.store.rows import ModelRows

_LEAST = np.finfo(np.float32).min  # the logit of a choice that a unit does not have (store/preparing.py)


@dataclass(frozen=True, slots=True)
class LogModel:
    """The records of one model in the order of N units.

    Attributes
    ----------
    spill, units, key
        Where they are.
    ids : list of str
        Ids of the units, a list that all models share.
    """

    spill: Spill
    units: Units
    key: Key
    ids: list[str]

    @property
    def unanswered(self) -> NDArray[np.bool_]:
        """bool [N]"""
        return ~self.units.answered[self.key]

    def rows(self, truth: Truth, notes: list[str]) -> ModelRows:
        """The rows; '' and NaN where a model did not answer. What was left out is added to the notes."""
        table = self._table()
        answers = outputs = None
        if "answer" in table.column_names:
            answers = table.column("answer").fill_null("").to_pylist()
        else:
            outputs = self._outputs(table)
        return ModelRows(
            self.ids,
            outputs,
            answers,
            self._quality(table, truth.labels) if truth.graded else None,
            self._scores(table, notes),
            {name: values for name in _named(table, "cost:") if (values := self._costs(table, name)) is not None},
        )

    def _table(self) -> pa.Table:
        """The records in the order of the units, without features; nulls where there is none."""
        table = self.spill.table(self.key, lambda name: not name.startswith("feature:"))
        at = self.units.record[self.key]
        if len(at) == len(table) and np.array_equal(at, np.arange(len(at))):
            return table
        return table.take(pa.array(at, mask=at < 0))

    def place(self, unit: int) -> str:
        """'FILE: line N' of the record of a unit."""
        return self.spill.place(self.key, int(self.units.record[self.key][unit]))

    def _refuse(self, bad: NDArray[np.bool_], what: str, expected: str) -> None:
        """ContentError that names the first of the bad units [N], if there is one."""
        if bad.any():
            number = int(bad.sum())
            raise ContentError(
                f"{self.place(int(np.flatnonzero(bad)[0]))}: {what} ({counted(number, 'such record')} of "
                f"{self.key[0]}); expected {expected}"
            )

    def _quality(self, table: pa.Table, labels: pa.Array) -> NDArray[np.float32]:
        """The grade of the log; where it has none, whether the answer equals the label."""
        grade = _numbers(table, "grade")
        self._refuse((grade < 0) | (grade > 1), "a grade outside [0, 1]", "shares from 0 to 1; name another metric")
        equal = pc.cast(pc.equal(table.column("answer").combine_chunks(), labels), pa.float64())
        grade = np.where(np.isnan(grade), equal.to_numpy(zero_copy_only=False), grade)
        lacking = np.isnan(grade) & ~self.unanswered
        self._refuse(lacking, "neither a grade nor a label", "one of both in each record")
        return grade.astype(np.float32)

    def _scores(self, table: pa.Table, notes: list[str]) -> dict[str, NDArray[np.float32]]:
        """Confidences that every answer has; what is said of others is added to the notes."""
        out = {}
        for name in _named(table, "score:"):
            values = _numbers(table, f"score:{name}")
            lacking = int((~np.isfinite(values) & ~self.unanswered).sum())
            if not lacking:
                out[name] = values.astype(np.float32)
            elif lacking < len(values):
                notes.append(
                    f"{self.key[0]}: {counted(lacking, 'answer')} of {len(values):,} without a finite {name}; this "
                    f"confidence is left out"
                )
        return out

    def _costs(self, table: pa.Table, name: str) -> NDArray[np.float64] | None:
        """A cost of every unit, NaN for units without an answer; None if no record has it."""
        values = _numbers(table, f"cost:{name}")
        if np.isnan(values).all():
            return None
        lacking = ~np.isfinite(values) & ~self.unanswered
        self._refuse(lacking, f"no {name}", f"a {name} in each record, or in none; mend the log, or leave it out")
        self._refuse(values < 0, f"{name} below 0", "a cost of 0 or more")
        return values

    def _outputs(self, table: pa.Table) -> NDArray[np.float32]:
        """float32 [N, C], C the most choices of a unit; choices that a unit does not have get a probability of 0."""
        lists = table.column("outputs").combine_chunks()
        choices, (kind,) = self.units.choices, self.spill.kinds
        out = np.full((len(lists), int(choices.max())), _LEAST if kind == "logits" else 0, np.float32)
        values = lists.flatten().to_numpy()
        row = np.repeat(np.arange(len(lists)), choices)
        bad = np.zeros(len(lists), bool)
        bad[row[~np.isfinite(values)]] = True
        self._refuse(bad, "an output that is not finite", "a finite number for each choice")
        out[row, np.arange(len(values)) - np.repeat(np.cumsum(choices) - choices, choices)] = values
        return out


def _named(table: pa.Table, prefix: str) -> list[str]:
    return sorted(name.removeprefix(prefix) for name in table.column_names if name.startswith(prefix))


def _numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """float64 [n], NaN where the column is null or missing."""
    if column not in table.column_names:
        return np.full(len(table), np.nan)
    return np.asarray(table.column(column).to_numpy(), np.float64)
