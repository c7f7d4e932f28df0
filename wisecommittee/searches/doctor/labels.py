"""Labels that do not match the outputs: another order of the classes or of the rows, columns that are no classes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.doctor.look import Look, listed
from wisecommittee.searches.doctor.order import GAIN_ANY, misread

OFTEN = 0.1  # share of the units


def doubts(look: Look) -> list[str]:
    wrong: dict[str, list[str]] = {}
    alone: dict[str, tuple[float, float, int]] = {}
    for card in look.with_outputs:
        sample = look.sample(card)
        said, labels = sample.said, look.labels[sample.rows]
        alone[card.model] = accuracy(said, labels)
        if (doubt := misread(said, labels.astype(np.int64), sample.classes)) is not None:
            gain = "" if doubt.better is None else f" -> {100 * doubt.better:.1f}"
            text = doubt.text if doubt.better is None else f"right more often if {doubt.text}"
            wrong.setdefault(text, []).append(f"{card.model} ({100 * doubt.right:.1f}{gain} %)")
        elif (odd := _never_a_label(said, look.labels)) is not None:
            wrong.setdefault(odd, []).append(card.model)
    texts = [text + look.note for text in _at_chance(look.split, alone)]
    return texts + [f"{listed(names)} in {look.split}: {text}{look.note}" for text, names in wrong.items()]


def accuracy(said: NDArray[np.int64], labels: NDArray[np.generic]) -> tuple[float, float, int]:
    """The accuracy, the accuracy expected if outputs and labels were unrelated, and n."""
    classes, n = int(max(said.max(), labels.max())) + 1, len(labels)
    guessed = (np.bincount(labels.astype(np.int64), minlength=classes) / n) @ (np.bincount(said, minlength=classes) / n)
    return float((said == labels).mean()), float(guessed), n


def _at_chance(split: str, alone: dict[str, tuple[float, float, int]]) -> list[str]:
    """Models no more accurate than chance, in a split with a model that is much more accurate."""
    best = max((right for right, _, _ in alone.values()), default=0.0)
    lost = [
        model
        for model, (right, guessed, n) in alone.items()
        if n >= 50 and best >= guessed + GAIN_ANY and abs(right - guessed) <= 3 * math.sqrt(guessed * (1 - guessed) / n)
    ]
    if not lost:
        return []
    return [
        f"{listed(lost)} in {split}: right as often as chance, beside a model that is right in {100 * best:.1f} %; are "
        f"the rows in another order than their unit ids say? Import them with the ids they were made for, or leave the "
        f"model out"
    ]


def _never_a_label(said: NDArray[np.int64], labels: NDArray[np.generic]) -> str | None:
    """A class that is often predicted and never a label: a column that is no class, or labels without one of the
    classes."""
    often = np.flatnonzero(np.bincount(said) >= OFTEN * len(said))
    never = [int(c) for c in often if not (labels == c).any()]
    if not never:
        return None
    return (
        f"class {never[0]} is the answer for {100 * float((said == never[0]).mean()):.0f} % of the units and the label "
        f"of none; is its column a class? Leave it out if not"
    )
