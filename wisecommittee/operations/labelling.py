"""Labels of a stream that come from a file, for all of its units or for a part of them."""

from __future__ import annotations

import os

import numpy as np

from wisecommittee.errors import AlignmentError, UsageError, counted, option
from wisecommittee.operations.outcomes import Numbers, UnitOutcomes
from wisecommittee.store import LogitStore, checks
from wisecommittee.store.imports.class_order import class_numbers
from wisecommittee.store.readers.classes import in_order
from wisecommittee.store.readers.labels import Labels, read_labels


def quality_by(file: str | os.PathLike[str], outcomes: UnitOutcomes, store: LogitStore) -> Numbers:
    """float64 [N]: 1 where a committee's answer is the label in a file, else 0; NaN where the file has no label."""
    if outcomes.prediction is None or not outcomes.counts:
        raise UsageError(
            f"{option('labels', os.fspath(file))}: units of {outcomes.split} are not right or wrong by their label; "
            f"leave it out"
        )
    labels, units = read_labels(file), store.unit_ids(outcomes.split)
    if labels.unit_ids is None and len(labels) != len(units):
        raise AlignmentError(
            f"{labels.file}: {counted(len(labels), 'label')} without unit ids, {outcomes.split} has "
            f"{counted(len(units), 'unit')}; add a column unit_id"
        )
    known = dict(zip(labels.unit_ids or units, _texts(labels, outcomes, store), strict=True))
    if not known.keys() & set(units):
        raise AlignmentError(
            f"{labels.file}: no unit of {outcomes.split}; its units are called {units[0]!r}, .., those of the file "
            f"{next(iter(known))!r}, .."
        )
    right = {
        unit: answer == known.get(unit) for unit, answer in zip(units, outcomes.prediction.astype(str), strict=True)
    }
    return np.array([float(right[unit]) if unit in known else np.nan for unit in units])


def _texts(labels: Labels, outcomes: UnitOutcomes, store: LogitStore) -> list[str]:
    """The labels as text, classes by their number; ContentError for a label that is no class."""
    assert outcomes.prediction is not None
    if outcomes.prediction.dtype.kind not in "iu":
        return labels.texts
    names = store.class_names(outcomes.split)
    numbers = class_numbers(labels, None if names is None else in_order(names))
    contents = store.card(outcomes.committee.models[0], outcomes.split).contents
    return [str(number) for number in checks.check_labels(numbers, contents.classes, str(labels.file)).tolist()]
