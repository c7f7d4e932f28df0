"""Whether columns stand for other classes than their numbers say: classes sorted as text, labels numbered from 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLIKELY = 1e-4  # probability below which an accuracy under chance is no accident
GAIN = 0.1  # accuracy by which another order of the classes has to be better
GAIN_ANY = 0.3  # the same where the order is the best of all and fits some units by chance


@dataclass(frozen=True, slots=True)
class Misread:
    """right : accuracy with the columns as they are read; better : accuracy if `text` holds, None if no other order
    fits."""

    right: float
    better: float | None
    text: str


def misread(said: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Misread | None:
    """What is wrong with the numbers of classes, if anything is: columns that were said, labels, int64 [n] in 0..C-1.

    Another order must be right in more units, and in a larger share of each class on average: a model that always
    predicts the same class is never taken for one whose classes are in another order.
    """
    n = len(labels)
    right = float((said == labels).mean())
    counts = np.bincount(labels, minlength=classes)
    there = counts > 0
    if there.sum() < min(3, classes):
        return None
    margin = max(GAIN, 2 / math.sqrt(n))

    def recall(hits: NDArray[np.bool_]) -> float:
        return float((np.bincount(labels[hits], minlength=classes)[there] / counts[there]).mean())

    def fit(meant: NDArray[np.int64], gain: float) -> float | None:
        """The accuracy if the columns mean these classes, where it is too high for chance."""
        hits = meant == labels
        better = float(hits.mean())
        known = recall(hits) >= max(1 / there.sum() + margin, recall(said == labels) + margin)
        return better if known and better >= max(right + gain, min(0.5 + GAIN, 3 / classes)) else None

    fits = [(fit(order.meant(said, classes), margin), order.text) for order in ORDERS if classes >= order.least]
    named = max(((share, text) for share, text in fits if share is not None), default=None)
    if n >= 10 * classes and (truth := _best_order(said, labels, classes, right)) is not None:
        better = fit(truth[said], GAIN_ANY)
        if better is not None and (named is None or better >= named[0] + margin):
            moved = [f"column {c} were class {t}" for c, t in enumerate(truth) if t != c]
            return Misread(
                right,
                better,
                f"{', '.join(moved[:3])}{', ..' if len(moved) > 3 else ''}: which class is which column? Import "
                f"outputs and labels by class name, or reorder the columns",
            )
    if named is not None:
        return Misread(right, *named)
    # Expected agreement of unrelated outputs and labels:
    guessed = float((counts / n) @ (np.bincount(said, minlength=classes) / n))
    chance = min(1 / classes, guessed)
    if _below(right, chance, n):
        return Misread(
            right,
            None,
            f"accuracy is below chance, {100 * chance:.2f} %: the labels are of other units or other classes than the "
            f"outputs; import them again with unit ids and class names",
        )
    return None


def _best_order(
    said: NDArray[np.int64], labels: NDArray[np.int64], classes: int, right: float
) -> NDArray[np.int64] | None:
    """int64 [C]: the class of each column with which most units are right; None if that cannot be many more."""
    confusion = np.bincount(labels * classes + said, minlength=classes**2).reshape(classes, classes)
    if confusion.max(axis=0).sum() / len(labels) < right + GAIN_ANY:  # each column at its best
        return None
    from scipy.optimize import linear_sum_assignment

    truth, column = linear_sum_assignment(confusion, maximize=True)
    return np.asarray(truth, np.int64)[np.argsort(column)]


def _in_order_of_text(said: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    return np.array(sorted(range(classes), key=str))[said]


def _numbered_by_text(said: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    return np.argsort(np.array(sorted(range(classes), key=str)))[said]


@dataclass(frozen=True, slots=True)
class Order:
    """Another meaning of the columns. meant : (columns int64 [n], C) -> the class of each column; least : the number of
    classes from which this order differs from the given one; text : continues the message 'accuracy x % if ..'."""

    text: str
    least: int
    meant: Callable[[NDArray[np.int64], int], NDArray[np.int64]]


ORDERS = (
    Order(
        "every label were 1 higher: column 0 is a class of its own (background), or the labels count other columns; "
        "add 1 to the labels, or leave that column out",
        3,
        lambda said, classes: said - 1,
    ),
    Order(
        "every label were 1 lower: are the labels numbered from 1? Subtract 1 from them",
        3,
        lambda said, classes: said + 1,
    ),
    Order(
        "the columns stand in the order of text (0, 1, 10, 11, .., 2); give them their numbers as headings, or sort "
        "them",
        11,
        _in_order_of_text,
    ),
    Order(
        "the labels are numbered in the order of text (0, 1, 10, 11, .., 2), as folders are that have numbers for "
        "names; number the labels as the model does",
        11,
        _numbered_by_text,
    ),
    Order(
        "the classes are in reverse; exchange the columns, or the labels",
        2,
        lambda said, classes: classes - 1 - said,
    ),
)


def _below(share: float, chance: float, n: int) -> bool:
    """Whether a share of n units is too low for chance: Chernoff's bound on the lower tail of a binomial."""
    if share >= chance:
        return False
    divergence = (1 - share) * math.log((1 - share) / (1 - chance)) + (share * math.log(share / chance) if share else 0)
    return math.exp(-n * divergence) < UNLIKELY
