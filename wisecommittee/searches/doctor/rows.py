"""Rows of one half of a split in another order than their unit ids say."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import counted
from wisecommittee.searches.doctor.labels import accuracy
from wisecommittee.searches.doctor.look import Look
from wisecommittee.searches.doctor.order import GAIN_ANY
from wisecommittee.store import LogitStore
from wisecommittee.tasks.classification import predicted_classes

SHIFTS = (1, -1, 2, -2, 3, -3)  # rows by which half of a file may be shifted
ALIKE_HALVES = 0.5  # share of the classes that two halves of a split must have in common


def doubts(look: Look) -> list[str]:
    texts = []
    for card in look.with_outputs:
        sample = look.sample(card)
        if _halves_differ(sample.said, look.labels[sample.rows]):
            texts += _out_of_step(look.store, look.split, card)
    return texts


def _halves_differ(said: NDArray[np.int64], labels: NDArray[np.generic]) -> bool:
    """Whether one half of the units is right as often as chance and the other much more often."""
    if len(said) < 100:
        return False
    middle = len(said) // 2
    halves = [accuracy(said[part], labels[part]) for part in (slice(middle), slice(middle, None))]
    (low, guessed, n), (high, other, _) = sorted(halves)
    return high >= other + GAIN_ANY and low <= guessed + 3 * math.sqrt(guessed * (1 - guessed) / n)


def _out_of_step(store: LogitStore, split: str, card: StoredCard) -> list[str]:
    """Compares half of the rows with the labels of neighbouring rows, and with the labels of the half in reverse
    order."""
    labels = store.labels(split)
    said = predicted_classes(store.outputs(card.model, split))
    middle = len(labels) // 2
    halves = (slice(middle), slice(middle, None))
    shares = [float((said[part] == labels[part]).mean()) for part in halves]
    worse = int(np.argmin(shares))
    mine, meant = said[halves[worse]], labels[halves[worse]]
    orders = {"in reverse": mine[::-1]} | {
        f"{counted(abs(by), 'row')} {'later' if by > 0 else 'earlier'} than their labels": np.roll(mine, -by)
        for by in SHIFTS
    }
    fits = {text: float((order == meant).mean()) for text, order in orders.items()}
    best = max(fits, key=fits.__getitem__)
    where = ("first", "second")[worse]
    cause = "are"
    if fits[best] >= shares[worse] + GAIN_ANY:
        cause = f"{100 * fits[best]:.1f} % if they stand {best}; were"
    elif not _alike(labels[halves[0]], labels[halves[1]]):
        return []  # for example, a split sorted by class, with classes that the model does not know
    return [
        f"{card.model} in {split}: right in {100 * shares[worse]:.1f} % of the {where} half of the units, as often as "
        f"chance, and in {100 * shares[1 - worse]:.1f} % of the other; {cause} the rows of one half in another order "
        f"than their unit ids say? Write and import them again with the ids they were made for"
    ]


def _alike(first: NDArray[np.generic], second: NDArray[np.generic]) -> bool:
    """Whether two halves have most of their classes in common."""
    classes, numbers = np.unique(np.concatenate([first, second]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(classes)) / len(part) for part in np.split(numbers, [len(first)])]
    return float(np.minimum(*shares).sum()) >= ALIKE_HALVES
