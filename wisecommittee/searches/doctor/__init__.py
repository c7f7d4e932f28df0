"""Doubts about a store: data that probably are not what their owner takes them for, with the likely cause and the
remedy.

Data that pass every check of the store can still mean something else: labels numbered from 1, columns in the order of
text, a test split that is a copy of val, costs in different units.

May be added: a file for a kind of doubt, with `doubts(look)` that returns texts, and its line in DOUBTS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wisecommittee.searches.doctor import answers, classes, confidences, costs, labels, models, rows, ties
from wisecommittee.searches.doctor.copies import copied, overlap, shared_units
from wisecommittee.searches.doctor.look import Look
from wisecommittee.searches.doctor.order import misread
from wisecommittee.store import LogitStore

__all__ = ["CHOOSING", "DOUBTS", "REPORTING", "Doubt", "copied", "examine", "misread", "shared_units"]

CHOOSING, REPORTING = "val", "test"
DOUBTS: dict[str, Callable[[Look], list[str]]] = {
    "confidences": confidences.doubts,
    "answers": answers.doubts,
    "rows": rows.doubts,
    "labels": labels.doubts,
    "classes": classes.doubts,
    "ties": ties.doubts,
    "models": models.doubts,
    "costs": costs.doubts,
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something about a split that is probably not what its owner takes it for.

    kind : one of DOUBTS, copy (test is val) or overlap (units of test are in val). text : the observation, its probable
    cause and the remedy.
    """

    kind: str
    split: str
    text: str


def examine(
    store: LogitStore,
    splits: Sequence[str] | None = None,
    *,
    models: Iterable[str] | None = None,
) -> tuple[Doubt, ...]:
    """All doubts about these splits (default: every split), and about units that they share with other splits.

    models : examine the outputs of these models only.
    """
    named = None if models is None else set(models)
    all_doubts: list[Doubt] = []
    everywhere = store.splits()
    for split in everywhere if splits is None else splits:
        if not store.has_labels(split):
            continue  # the doubts come of comparing outputs with labels
        every = store.cards(split)
        look = Look(store, split, tuple(card for card in every if named is None or card.model in named), tuple(every))
        all_doubts += [Doubt(kind, split, text) for kind, doubts in DOUBTS.items() for text in doubts(look)]
        chooses = CHOOSING if split == REPORTING else split
        # Other splits may share units with val and test, such as the split that these were divided from.
        if {chooses, REPORTING} <= set(everywhere) and (splits is not None or chooses == CHOOSING):
            doubt = overlap(store, chooses, REPORTING)
            all_doubts += [] if doubt is None else [Doubt(doubt[0], REPORTING, doubt[1])]
    return tuple(dict.fromkeys(all_doubts))
