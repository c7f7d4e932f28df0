"""Whether a card fits the other models of its split."""

from __future__ import annotations

from collections.abc import Iterable

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.committees.replicas import Numbers
from wisecommittee.errors import ContentError, StoreError, option


class Siblings:
    """The models of a split. They have the same classes and the same task, and no two are the same replica of one
    architecture. As all of them agree, a new card is compared with four of them only."""

    def __init__(self, split: str, cards: Iterable[StoredCard]) -> None:
        self._split = split
        self._cards: dict[str, StoredCard] = {}
        self._numbers: dict[str, Numbers] = {}  # by architecture
        self._examples: dict[bool, list[StoredCard]] = {True: [], False: []}  # with names of classes, and without
        for card in cards:
            self.add(card)

    def add(self, card: StoredCard) -> None:
        """Add a card, or replace the card that the model had."""
        before = self._cards.get(card.model)
        self._cards[card.model] = card
        if before is not None:
            self._numbers[before.key[0]].remove(before)
        self._numbers.setdefault(card.key[0], Numbers()).add(card)
        if any(other is before for alike in self._examples.values() for other in alike):
            self._examples = {True: [], False: []}
            for other in self._cards.values():
                self._exemplify(other)
        else:
            self._exemplify(card)

    def _exemplify(self, card: StoredCard) -> None:
        alike = self._examples[card.class_names is not None]
        if len(alike) < 2:
            alike.append(card)

    def check(self, card: ModelCard, classes: int | None, *, graded: bool = False) -> None:
        """Raise unless the card fits; classes : columns of its outputs, None for answers; graded : with a quality."""
        numbers, before = self._numbers.get(card.key[0]), self._cards.get(card.model)
        if before is not None and before.key[0] != card.key[0]:
            before = None  # of another architecture
        if numbers is not None and (shared := numbers.shared_with(card, before)):
            *same, replica = shared
            taken = [model for model in same if model != card.model]
            raise StoreError(
                f"{card.model}: {' and '.join(taken)} {'is' if len(taken) == 1 else 'are'} architecture "
                f"{card.key[0]!r} replica {replica} already; give it another replica number"
            )
        for other in (*self._examples[True], *self._examples[False]):
            if other.model != card.model:
                self._compare(card, classes, graded, other)

    def _compare(self, card: ModelCard, classes: int | None, graded: bool, other: StoredCard) -> None:
        if "cell_counts" in (kinds := {other.kind, card.kind}) and len(kinds) > 1:
            raise ContentError(
                f"{card.model}: {card.kind}, {other.model} in {self._split} is {other.kind}; counts of pixels and "
                f"other outputs cannot share a split; use another one"
            )
        check_classes(card, classes, self._split, other, self._split)
        if other.contents.graded != graded:
            raise ContentError(
                f"{card.model}: graded and ungraded answers ({other.model}) cannot share a split; use another one"
            )


def check_classes(card: ModelCard, classes: int | None, split: str, other: StoredCard, other_split: str) -> None:
    """Raise unless two models, or one in two splits, have the same classes."""
    which = f"{other.model} in {other_split}"
    why = (
        "the models of a split answer the same question" if other_split == split else "a model has the same everywhere"
    )
    if other.contents.classes != classes:
        raise ContentError(
            f"{card.model} in {split}: {classes or 'no'} classes, {which} has "
            f"{other.contents.classes or 'none (answers)'}; {why}; use another name or another store"
        )
    if None not in (card.class_names, other.class_names) and card.class_names != other.class_names:
        raise ContentError(
            f"{card.model} in {split}: classes {_shown(card.class_names)}, {which} has {_shown(other.class_names)}; "
            f"{why}; align them with {option('classes', placeholder='FILE')}"
        )


def _shown(names: tuple[str, ...] | None) -> str:
    return ", ".join((names or ())[:4]) + (", .." if len(names or ()) > 4 else "")
