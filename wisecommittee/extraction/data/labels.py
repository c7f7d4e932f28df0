"""Class names of a data set and the numbers that stand for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, UnknownNameError, option
from wisecommittee.store.readers.classes import read_classes

_NUMBER = re.compile(r"[0-9]{1,18}")


def split_settings(text: str, known: Sequence[str], what: str) -> tuple[str, dict[str, str]]:
    """'FILE?label=fine&id=name' -> ('FILE', {'label': 'fine', 'id': 'name'})."""
    path, _, query = text.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    for name in settings:
        if name not in known:
            raise UnknownNameError(f"setting of {what} {path!r}", name, known)
    return path, settings


def class_file(settings: dict[str, str]) -> tuple[str, ...] | None:
    """The class names of the setting classes=FILE, in the order of their labels."""
    return read_classes(Path(settings["classes"])) if "classes" in settings else None


def numbered(
    names: Sequence[str], classes: Sequence[str] | None, what: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels int64 [n] of class names [n], and the classes: the given ones, else the distinct names, sorted by value if
    all are whole numbers, else as text."""
    classes = _sorted(set(names), what) if classes is None else tuple(classes)
    label_of = {name: label for label, name in enumerate(classes)}
    unknown = sorted(set(names) - set(label_of))
    if unknown:
        raise ContentError(
            f"{what}: class {unknown[0]!r} (and {len(unknown) - 1} more) is not one of the {len(classes)} given with "
            f"?classes=FILE ({', '.join(classes[:3])}, ..); add it there"
        )
    return np.array([label_of[name] for name in names], dtype=np.int64), classes


def _sorted(names: set[str], what: str) -> tuple[str, ...]:
    if not all(map(_NUMBER.fullmatch, names)):
        return tuple(sorted(names))
    values: dict[int, str] = {}
    for name in sorted(names):
        if (other := values.setdefault(int(name), name)) != name:
            raise ContentError(f"{what}: classes {other!r} and {name!r} are one number; rename one, or join them")
    return tuple(values[value] for value in sorted(values))


def numbers_in_doubt(classes: Sequence[str]) -> str | None:
    """A warning where the outputs of a model without class names are taken to be these classes in order, although
    their names are numbers that may mean another order; None if there is no doubt."""
    numbers = [int(name) for name in classes if _NUMBER.fullmatch(name)]
    remedy = f"if the outputs of a model are in another order, name them with {option('classes', placeholder='FILE')}"
    shown = ", ".join(classes[:3]) + (", .." if len(classes) > 3 else "")
    if len(numbers) < len(classes):
        return None if numbers == sorted(numbers) else f"classes {shown} are in the order of text; {remedy}"
    if numbers != list(range(len(classes))):
        return (
            f"classes are numbered {numbers[0]} to {numbers[-1]}, and outputs 0 to {len(classes) - 1}; output 0 is "
            f"taken to be class {classes[0]}, and so on in order; {remedy}"
        )
    if list(classes) == sorted(classes):
        return None
    return (
        f"classes are numbers, and output k is taken to be class k; torchvision's ImageFolder has them in the order of "
        f"text ({', '.join(sorted(classes)[:3])}, ..); {remedy}"
    )


def renumbered(
    labels: NDArray[np.int64], names: Sequence[str] | None, classes: Sequence[str] | None, what: str
) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Labels int64 [n] that number `names` -> labels that number `classes`. Either may be unknown."""
    known = names if names is not None else classes
    outside = np.flatnonzero((labels < 0) | (labels >= (np.iinfo(np.int64).max if known is None else len(known))))
    if len(outside):
        label = labels[outside[0]]
        expected = "whole numbers from 0" if known is None else f"0..{len(known) - 1}, its classes"
        remedy = "data without labels cannot be used" if label == -1 else "mend the labels or the class names"
        raise ContentError(
            f"{what}: label {label} in row {outside[0]} (and {len(outside) - 1} more); expected {expected}; {remedy}"
        )
    if names is None or classes is None or tuple(names) == tuple(classes):
        return labels, None if known is None else tuple(known)
    used = np.unique(labels)
    table = np.zeros(len(names), dtype=np.int64)
    table[used], classes = numbered([names[label] for label in used], classes, what)
    return table[labels], classes


DRAW = 2022  # the seed: calls with the same labels and limit get the same units


def drawn(count: int, limit: int, labels: NDArray[np.generic] | None = None) -> NDArray[np.int64]:
    """`limit` of `count` rows, ascending. labels [count] : if given, a proportional share of every class is drawn."""
    order = np.random.default_rng(DRAW).permutation(count)
    if labels is None or labels.ndim != 1:
        return np.sort(order[:limit])
    _, classes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    rank = np.empty(count, np.int64)  # rank of a row among the rows of its class, in the order of the draw
    rank[np.argsort(classes, kind="stable")] = np.arange(count) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (rank + 0.5) / counts[classes]
    return np.sort(order[np.argsort(share, kind="stable")[:limit]])
