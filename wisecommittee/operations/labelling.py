"""Labels of a stream that come from a file, for all of its units or for a part of them."""

from __future__ import annotations

import os

import numpy as np

from wisecommittee.errors import AlignmentError, UsageError, counted, option
from wisecommittee.operations.outcomes import Numbers, UnitOutcomes
from wisecommittee.operations.unit_columns import named_classes
from wisecommittee.store import LogitStore
from wisecommittee.store.readers.labels import read_labels


def quality_by(file: str | os.PathLike[str], outcomes: UnitOutcomes, store: LogitStore) -> Numbers:
    """float64 [N]: 1 where a committee's answer is the label in a file, else 0; NaN where the file has no label."""
    if outcomes.prediction is None or not outcomes.counts:
        raise UsageError(
            f"{option('labels', os.fspath(file))}: answers of {outcomes.split} are graded, not compared with labels; "
            f"the grades are in the store"
        )
    labels = read_labels(file)
    texts = labels.texts if labels.numbers is None else [str(number) for number in labels.numbers.tolist()]
    answers = outcomes.prediction.astype(np.str_)
    if labels.numbers is None:
        answers = named_classes(store, outcomes.split, outcomes.prediction)
    units = store.unit_ids(outcomes.split)
    if labels.unit_ids is None and len(labels) != len(units):
        raise AlignmentError(
            f"{labels.file}: {counted(len(labels), 'label')} without unit ids, {outcomes.split} has "
            f"{counted(len(units), 'unit')}; add a column unit_id"
        )
    known = dict(zip(labels.unit_ids or units, texts, strict=True))
    if not known.keys() & set(units):
        raise AlignmentError(
            f"{labels.file}: no unit of {outcomes.split}; its units are called {units[0]!r}, .., those of the file "
            f"{next(iter(known))!r}, .."
        )
    return np.array(
        [
            float(answer == known[unit]) if unit in known else np.nan
            for unit, answer in zip(units, answers.tolist(), strict=True)
        ]
    )
