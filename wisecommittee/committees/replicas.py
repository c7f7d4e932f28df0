"""Which models of a pool are replicas of one architecture.

A name that ends in a number, b3/0, means a replica only among all the names: b3/0, b3/1, b3/2 are replicas 0 to 2 of
b3, but run/1000 and run/3000 are two steps of a training. So numbers in names count if those of an architecture are
0, 1, 2, .. without a gap (b3 alone is number 0); otherwise each model is an architecture by itself. A replica given
beside the name (`ModelCard.replica_given`) always counts. The canonical order, `ModelCard.key`, does not depend on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from wisecommittee.committees.cards import ModelCard

Card = TypeVar("Card", bound=ModelCard)  # a ModelCard or a StoredCard, and the same comes back
SHOWN = 4  # names in one warning


class Numbers:
    """The replica numbers of one architecture. All methods take constant time, also with thousands of models.

    firm : {number: models} given beside the name, or 0 for a model with the name of the architecture; read : {number:
    models} read from names.
    """

    def __init__(self) -> None:
        self.firm: dict[int, list[str]] = {}
        self.read: dict[int, list[str]] = {}
        self._begin = 0  # how many numbers have no number before them: the runs of consecutive numbers
        self._twice: set[int] = set()  # numbers of several models
        self._firm_twice: set[int] = set()  # firm numbers of several models

    def add(self, card: ModelCard) -> None:
        known, number = self._table_and_number(card)
        if not self._has(number):
            self._begin += (not self._has(number - 1)) - self._has(number + 1)
        known.setdefault(number, []).append(card.model)
        self._recount(number)

    def remove(self, card: ModelCard) -> None:
        known, number = self._table_and_number(card)
        known[number].remove(card.model)
        if not known[number]:
            del known[number]
        if not self._has(number):
            self._begin -= (not self._has(number - 1)) - self._has(number + 1)
        self._recount(number)

    def _table_and_number(self, card: ModelCard) -> tuple[dict[int, list[str]], int]:
        numbered = card.placed_by_name and card.key[0] != card.model
        return self.read if numbered else self.firm, card.key[1]

    def _has(self, number: int) -> bool:
        return number in self.firm or number in self.read

    def _recount(self, number: int) -> None:
        firm, read = len(self.firm.get(number, ())), len(self.read.get(number, ()))
        for numbers, several in ((self._firm_twice, firm > 1), (self._twice, firm + read > 1)):
            (numbers.add if several else numbers.discard)(number)

    @property
    def count(self) -> bool:
        """Whether numbers read from names count as replicas: they are 0, 1, 2, .. without a gap."""
        return self._begin == 1 and self._has(0)

    def shared(self) -> tuple[str, str, int] | None:
        """(model, other model, number) of two models with the same number; None if there are none."""
        for number in sorted(self._twice if self.count else self._firm_twice):
            models = [*self.firm.get(number, ()), *(self.read.get(number, ()) if self.count else ())]
            return models[0], models[1], number
        return None

    def shared_with(self, card: ModelCard, before: ModelCard | None) -> tuple[str, str, int] | None:
        """`shared` with this card added and the earlier card of its model, `before`, removed."""
        if before is not None:
            self.remove(before)
        self.add(card)
        try:
            return self.shared()
        finally:
            self.remove(card)
            if before is not None:
                self.add(before)


def numbers_of(cards: Iterable[ModelCard]) -> dict[str, Numbers]:
    """{architecture: Numbers} of a whole pool."""
    numbers: dict[str, Numbers] = {}
    for card in cards:
        numbers.setdefault(card.key[0], Numbers()).add(card)
    return numbers


def resolve_replicas(cards: Sequence[Card]) -> tuple[Card, ...]:
    """The cards of a whole pool, each with its architecture and replica in that pool."""
    numbers = numbers_of(cards)
    out = []
    for card in cards:
        identity = card.key[:2]
        if card.placed_by_name and not numbers[card.key[0]].count:
            identity = card.model, 0
        if identity != (card.architecture, card.replica):
            card = replace(card, architecture=identity[0], replica=identity[1])
        out.append(card)
    return tuple(out)


def named_architectures(models: Sequence[str]) -> dict[str, str]:
    """{model: architecture} of a whole pool, from the names alone."""
    return {card.model: card.architecture for card in resolve_replicas([ModelCard(model) for model in models])}


def numbering_notes(cards: Sequence[ModelCard], models: Collection[str]) -> list[str]:
    """A sentence for every architecture of one of these models whose numbers do not count as replicas.

    A single model, such as b3/1 before b3/0 is imported, gets no sentence.
    """
    notes = []
    for architecture, numbers in numbers_of(cards).items():
        odd = [model for _, same in sorted(numbers.read.items()) for model in same]
        if numbers.count or len(odd) + (architecture in numbers.firm.get(0, [])) < 2 or not set(odd) & set(models):
            continue
        more = f" and {len(odd) - SHOWN:,} more" if len(odd) > SHOWN else ""
        notes.append(
            f"{', '.join(odd[:SHOWN])}{more}: their numbers are not 0, 1, 2, .., so each counts as an architecture of "
            f"its own, not as a replica of {architecture!r}; if they are replicas, name them {architecture}/0, "
            f"{architecture}/1, .. or fill the columns architecture and replica of models.csv"
        )
    return notes


def same_replica(cards: Iterable[ModelCard]) -> tuple[str, str, str, int] | None:
    """(model, other model, architecture, replica) of two models that are the same replica; None if there are none."""
    for architecture, numbers in numbers_of(cards).items():
        if pair := numbers.shared():
            first, second, number = pair
            return first, second, architecture, number
    return None
