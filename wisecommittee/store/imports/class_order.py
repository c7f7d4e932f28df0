"""Which class is which number, for all models and splits of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, counted, option
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.readers.classes import ClassList, in_order, number_labels, place_columns
from wisecommittee.store.readers.labels import Labels
from wisecommittee.store.readers.outputs import Outputs


def class_order(
    store: Catalog, split: str, labels: Labels, outputs: Mapping[str, Outputs], given: ClassList | None
) -> ClassList | None:
    """The numbers of the classes, for all models and splits of a store; None if columns go by number.

    The first of these decides: the file that names the classes; the classes of models already in the store; labels that
    are names (classes are then sorted by name); headings that all models have in the same order, numbered from 0.
    """
    earlier = store.class_names(split)
    if given is not None:
        if earlier is not None and earlier != given.names:
            raise ContentError(
                f"the classes of this store are {_shown(earlier)} in this order, {option('classes')} says "
                f"{_shown(given.names)}; expected the same for every model and split"
            )
        return given
    tables = {model: read.columns for model, read in outputs.items() if read.columns is not None}
    named = {model: columns for model, columns in tables.items() if columns.order is None}
    words = labels.numbers is None
    if earlier is not None:
        return in_order(earlier)
    if not words and not named:
        return None
    if words:
        if unnamed := [model for model in outputs if model not in tables]:
            raise ContentError(
                f"{labels.file}: labels are names, such as {labels.texts[0]!r}, and the outputs of {unnamed[0]} have "
                f"no headings; say which class is which column with {option('classes', placeholder='FILE')}, or number "
                "the labels from 0"
            )
        first = next(iter(tables.values()))
        numbers_are_names = all(columns.order is not None for columns in tables.values())
        return in_order(
            [first.names[k] for k in first.order] if numbers_are_names and first.order else sorted(first.names)
        )
    orders = {columns.names for columns in named.values()}
    if len(orders) > 1:
        one, other = (next(m for m, columns in named.items() if columns.names == order) for order in sorted(orders)[:2])
        if {frozenset(order) for order in orders} == {frozenset(next(iter(orders)))}:
            raise ContentError(
                f"{one} and {other} have the same classes in different orders ({_shown(named[one].names)}; "
                f"{_shown(named[other].names)}), and the labels are numbers; say which class is which number with "
                f"{option('classes', placeholder='FILE')}, or give labels by name"
            )
    return in_order(next(iter(named.values())).names)


def in_class_order(
    outputs: Outputs, classes: ClassList | None, what: str
) -> tuple[NDArray[np.floating], tuple[str, ...] | None]:
    """Outputs [N, C] with column k for class k, and the names of the classes."""
    values, columns = outputs.values, outputs.columns
    if classes is None:
        return values, None
    if columns is not None and (columns.order is None or set(columns.names) <= set(classes.numbers)):
        column_of = place_columns(columns, classes, what)
        if columns.order is not None:  # the values are in the order of the headings' numbers already
            column_of = np.argsort(np.array(columns.order))[column_of]
        if not np.array_equal(column_of, np.arange(len(column_of))):
            values = values[:, column_of]
    if values.shape[1] != len(classes.names):
        raise ContentError(
            f"{what}: {counted(values.shape[1], 'class', 'classes')}, {len(classes.names)} are named "
            f"({_shown(classes.names)}); every model needs the same classes"
        )
    return values, classes.names


def class_numbers(labels: Labels, classes: ClassList | None) -> NDArray[np.generic]:
    """Labels as class numbers; a label that is no number is refused later (checks.check_labels)."""
    if labels.numbers is not None:
        return labels.numbers
    return labels.values if classes is None else number_labels(labels.texts, classes, str(labels.file))


def _shown(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", .." if len(names) > most else "")
