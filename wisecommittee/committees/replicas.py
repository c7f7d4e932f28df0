"""Which models of a pool are replicas of one architecture.

A name that ends in a number, b3/0, says so only among all the names: b3/0, b3/1, b3/2 are replicas 0 to 2 of b3, but
run/1000 and run/3000 are two steps of a training. So numbers in names count where those of an architecture are 0, 1, 2,
.. without a gap (b3 alone is number 0), and each model is an architecture of its own where they are not. What was given
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
    """The replica numbers of one architecture, {number: models}: `firm` were given beside the name or belong to the
    architecture's own name, which is number 0; `read` stand in names.

    What is asked of it takes as long for thousands of models as for two.
    """

    def __init__(self) -> None:
        self.firm: dict[int, list[str]] = {}
        self.read: dict[int, list[str]] = {}
        self._begin = 0  # numbers, each once, that do not follow another
        self._twice: set[int] = set()  # numbers of several models
        self._firm_twice: set[int] = set()  # .. that are firm

    def add(self, card: ModelCard) -> None:
        known, number = self._place(card)
        if not self._has(number):
            self._begin += (not self._has(number - 1)) - self._has(number + 1)
        known.setdefault(number, []).append(card.model)
        self._recount(number)

    def remove(self, card: ModelCard) -> None:
        known, number = self._place(card)
        known[number].remove(card.model)
        if not known[number]:
            del known[number]
        if not self._has(number):
            self._begin -= (not self._has(number - 1)) - self._has(number + 1)
        self._recount(number)

    def _place(self, card: ModelCard) -> tuple[dict[int, list[str]], int]:
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
        """Whether the numbers in names are those of replicas: 0, 1, 2, .. without a gap."""
        return self._begin == 1 and self._has(0)

    def shared(self) -> tuple[str, str, int] | None:
        """Two models that have the same number, and the number; None if there are none."""
        for number in sorted(self._twice if self.count else self._firm_twice):
            models = [*self.firm.get(number, ()), *(self.read.get(number, ()) if self.count else ())]
            return models[0], models[1], number
        return None

    def shared_with(self, card: ModelCard, before: ModelCard | None) -> tuple[str, str, int] | None:
        """The same with this card among them, in place of the one that its model had `before` in this architecture."""
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
    """{architecture: its numbers} of a whole pool."""
    found: dict[str, Numbers] = {}
    for card in cards:
        found.setdefault(card.key[0], Numbers()).add(card)
    return found


def resolve_replicas(cards: Sequence[Card]) -> tuple[Card, ...]:
    """The cards of a whole pool, each with the architecture and the replica that it has among them."""
    numbers = numbers_of(cards)
    out = []
    for card in cards:
        place = card.key[:2]
        if card.placed_by_name and not numbers[card.key[0]].count:
            place = card.model, 0
        if place != (card.architecture, card.replica):
            card = replace(card, architecture=place[0], replica=place[1])
        out.append(card)
    return tuple(out)


def named_architectures(models: Sequence[str]) -> dict[str, str]:
    """{model: its architecture}, of a whole pool, as far as the names by themselves say it."""
    return {card.model: card.architecture for card in resolve_replicas([ModelCard(model) for model in models])}


def numbering_notes(cards: Sequence[ModelCard], models: Collection[str]) -> list[str]:
    """A sentence for every architecture whose numbers do not count, if it is about one of these models.

    A single model, such as b3/1 before b3/0 has come, is replica of nothing yet, and nothing is said of it.
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
    """Two models of a pool that would be the same replica of one architecture, with these; None if there are none."""
    for architecture, numbers in numbers_of(cards).items():
        if found := numbers.shared():
            first, second, number = found
            return first, second, architecture, number
    return None
