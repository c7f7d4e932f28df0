"""The units of logs: which there are, which record of each model is about which unit, and the true answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wisecommittee.errors import AlignmentError, ContentError
from wisecommittee.store.logs.spill import Spill

Key = tuple[str, int]  # a model, and the number of its sample
_SURVEYED = frozenset({"unit_id", "answer", "outputs", "label", "grade"})


@dataclass(frozen=True, slots=True)
class Units:
    """N units, in the order in which they first stand in the logs.

    Attributes
    ----------
    unit_ids : large_string [N]
    record : {key: int64 [N]}
        The record of each unit among those of a model; -1 where the model has none.
    answered : {key: bool [N]}
        Whether the model answered.
    label : int64 [N]
        Place of the label of each unit in `labels`; -1 where no log has it.
    labels : list of str, or of int
    choices : int64 [N]
        Number of choices of a unit; 0 for answers.
    """

    unit_ids: pa.Array
    record: Mapping[Key, NDArray[np.int64]]
    answered: Mapping[Key, NDArray[np.bool_]]
    label: NDArray[np.int64]
    labels: list[str] | list[int]
    choices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.unit_ids)

    def only(self, kept: NDArray[np.bool_]) -> Units:
        """Some of the units. kept : bool [N]"""
        if kept.all():
            return self
        return replace(
            self,
            unit_ids=self.unit_ids.filter(pa.array(kept)),
            record={key: record[kept] for key, record in self.record.items()},
            answered={key: answered[kept] for key, answered in self.answered.items()},
            label=self.label[kept],
            choices=self.choices[kept],
        )


def survey(spill: Spill, *, labelled: bool) -> Units:
    """Look at the records of every model, one model at a time.

    labelled : whether the labels of the logs count. AlignmentError or ContentError, which name the files and lines, if
    a model has two records of a unit, or records of a unit have different labels or numbers of choices.
    """
    found = _Survey(spill, labelled)
    for key in spill.samples:
        found.add(key)
    return found.units()


@dataclass
class _Survey:
    """What the records of the models so far say. All arrays are of the units that the models so far have."""

    spill: Spill
    labelled: bool
    unit_ids: pa.Array = field(default_factory=lambda: pa.array([], pa.large_string()))
    unit: dict[Key, NDArray[np.int64]] = field(default_factory=dict)  # the unit of each record
    answered: dict[Key, NDArray[np.bool_]] = field(default_factory=dict)
    number: dict[str | int, int] = field(default_factory=dict)  # of each label
    label: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    choices: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, key: Key) -> None:
        table = self.spill.table(key, _SURVEYED.__contains__)
        self.unit[key] = unit = self._units_of(table.column("unit_id").combine_chunks(), key)
        more = len(self.unit_ids) - len(self.label)
        self.label = np.pad(self.label, (0, more), constant_values=-1)
        self.choices = np.pad(self.choices, (0, more), constant_values=-1)
        if "answer" in table.column_names:
            answered = table.column("answer").is_valid()
            if "grade" in table.column_names:  # an answer that is not in the log and was not all wrong
                answered = pc.or_(answered, pc.fill_null(pc.greater(table.column("grade"), 0), False))
            self.answered[key] = answered.to_numpy()
        else:
            self.answered[key] = np.ones(len(unit), bool)
            self._compare("choices", key, pc.list_value_length(table.column("outputs")).to_numpy())
        if self.labelled and "label" in table.column_names:
            self._compare("label", key, self._label_numbers(table.column("label").combine_chunks()))

    def _units_of(self, ids: pa.Array, key: Key) -> NDArray[np.int64]:
        """int64 [n]: the unit of each record; new ones are added."""
        if (empty := pc.index(ids, "").as_py()) >= 0:
            raise ContentError(f"{self.spill.place(key, empty)}: a unit without an id; expected one in each record")
        unit = pc.index_in(ids, value_set=self.unit_ids)
        if unit.null_count:
            fresh = pc.unique(ids.filter(unit.is_null()))
            self.unit_ids = pa.concat_arrays([self.unit_ids, fresh])
            unit = pc.index_in(ids, value_set=self.unit_ids)
        numbers = unit.to_numpy().astype(np.int64)
        counts = np.bincount(numbers)
        if counts.max(initial=0) > 1:
            first, second = np.flatnonzero(numbers == counts.argmax())[:2].tolist()
            raise AlignmentError(
                f"{self.spill.place(key, second)}: {_named(key)} answers unit {ids[first].as_py()!r} again, after "
                f"{self.spill.place(key, first)} ({int((counts > 1).sum()):,} such units); expected one record of each "
                f"unit; leave one out, or name one of several tasks, metrics or filters"
            )
        return numbers

    def _label_numbers(self, labels: pa.Array) -> NDArray[np.int64]:
        """int64 [n]: the number of each record's label; -1 where it has none."""
        encoded = labels.dictionary_encode()
        numbers = [self.number.setdefault(label, len(self.number)) for label in encoded.dictionary.to_pylist()]
        at = encoded.indices.fill_null(len(numbers)).to_numpy()
        return np.array([*numbers, -1], np.int64)[at]

    def _compare(self, what: str, key: Key, values: NDArray[np.integer]) -> None:
        """Keep values [n] of the records of a model as those of their units, unless they differ from earlier ones."""
        kept, unit = getattr(self, what), self.unit[key]
        differs = (kept[unit] >= 0) & (values >= 0) & (kept[unit] != values)
        if differs.any():
            record = int(np.flatnonzero(differs)[0])
            raise self._contradiction(what, key, record, int(values[record]), int(differs.sum()))
        kept[unit] = np.where(values >= 0, values, kept[unit])

    def _contradiction(self, what: str, key: Key, record: int, value: int, records: int) -> ContentError:
        unit, names = int(self.unit[key][record]), list(self.number)
        before = int(getattr(self, what)[unit])
        says, said = (f"label {names[v]!r}" if what == "label" else f"{v} choices" for v in (value, before))
        return ContentError(
            f"{self.spill.place(key, record)}: unit {self.unit_ids[unit].as_py()!r} has {says}, "
            f"{self._first_place(what, unit)} {said} ({records:,} such records); expected the same of every model; are "
            f"these the same units?"
        )

    def _first_place(self, what: str, unit: int) -> str:
        """Where a unit first has a label, or choices."""
        for key, units in self.unit.items():
            for record in np.flatnonzero(units == unit).tolist():
                column = {"label": "label", "choices": "outputs"}[what]
                table = self.spill.table(key, column.__eq__)
                if column in table.column_names and table.column(column)[record].is_valid:
                    return self.spill.place(key, record)
        raise AssertionError("a value that no record has")

    def units(self) -> Units:
        n, record, answered = len(self.unit_ids), {}, {}
        for key, unit in self.unit.items():
            record[key] = np.full(n, -1)
            record[key][unit] = np.arange(len(unit))
            answered[key] = np.zeros(n, bool)
            answered[key][unit] = self.answered[key]
        label = np.pad(self.label, (0, n - len(self.label)), constant_values=-1)
        return Units(self.unit_ids, record, answered, label, list(self.number), np.maximum(self.choices, 0))  # type: ignore[arg-type]


def _named(key: Key) -> str:
    model, sample = key
    return f"{model}, sample {sample}," if sample else model
