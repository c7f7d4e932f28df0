"""Which cards a split admits: those that fit the cards it has, and the same model in other splits.

Cards of a split change in turns (Files.turn). A process that adds many models reads the cards of the split once, and
again only after another process had a turn.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import StoreError, WiseCommitteeError
from wisecommittee.store.card_files import encode_card
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.layout import LAST_WRITER, card_path, check_split_name, turn_name
from wisecommittee.store.siblings import Siblings, check_classes
from wisecommittee.store.storage.files import Stamp


@dataclass(frozen=True, slots=True)
class _Known:
    """Cards of a split by model, and the stamps of the files they were read from."""

    stamps: dict[str, Stamp]
    cards: dict[str, StoredCard]
    siblings: Siblings


class Admission:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.files = catalog, catalog.files
        self._known: dict[str, _Known] = {}  # by split
        self._adding: dict[str, bytes] = {}  # {split that many models are being added to: a name of this process}

    def refresh(self) -> None:
        """Forget the cards that were read so far."""
        self._known.clear()

    def check(self, split: str, card: ModelCard, classes: int | None, *, graded: bool = False) -> None:
        """Raise unless the card fits the other models of its split (the same classes and task, a replica number that
        no other model has) and the same model in other splits.

        classes : columns of the model's outputs, None for answers; graded : whether its answers carry a quality.
        """
        self.check_elsewhere(split, card, classes)
        try:
            self._siblings(split, card.model).check(card, classes, graded=graded)
        except WiseCommitteeError:
            if self._known.pop(split, None) is None:
                raise
            self._siblings(split, card.model).check(card, classes, graded=graded)  # against the cards as they are now

    def check_elsewhere(self, split: str, card: ModelCard, classes: int | None) -> None:
        """Raise unless the same model has the same classes in every other split."""
        for other in self.catalog.splits():
            namesake = None
            with contextlib.suppress(StoreError):  # a card that cannot be read is reported to readers of its split
                namesake = None if other == split else self.catalog.read_card(other, card.model)
            if namesake is not None:
                check_classes(card, classes, split, namesake, other)

    def _siblings(self, split: str, model: str) -> Siblings:
        """The models of a split; a card is read once until its file changes. The card of `model` may be unreadable.

        While many models are added, the cards read before stay valid until another process had a turn.
        """
        known = self._known.get(split)
        if known is not None and split in self._adding:
            return known.siblings
        stamps = self.catalog.card_stamps(split)
        if known is not None and known.stamps == stamps:
            return known.siblings
        cards = {}
        for name, stamp in stamps.items():
            if known is not None and known.stamps.get(name) == stamp:
                cards[name] = known.cards[name]
            elif (card := self.catalog.committed(split, name, replace=name == model)) is not None:
                cards[name] = card
        siblings = Siblings(split, cards.values())
        if cards.keys() == stamps.keys():
            self._known[split] = _Known(stamps, cards, siblings)
        return siblings

    @contextlib.contextmanager
    def adding_many(self, split: str) -> Iterator[None]:
        """A block in which the cards of a split are read once for all models that are added, and again only after
        another process had a turn. Outside it, adding a model reads the cards of all models before it."""
        check_split_name(split)
        path = f"{split}/{LAST_WRITER}"
        self.files.delete(path)  # left by a killed process; a live process reads the cards again
        self._adding[split] = secrets.token_hex(8).encode()
        try:
            yield
        finally:
            if self._last_writer(split) == self._adding.pop(split):
                self.files.delete(path)

    @contextlib.contextmanager
    def turn(self, split: str, model: str) -> Iterator[Callable[[], None]]:
        """A turn in which the cards of a split may change (Files.turn)."""
        with self.files.turn(split, turn_name(model), f"{model} in {split}") as keep_turn:
            name = self._adding.get(split)
            if name is None:
                self.files.delete(f"{split}/{LAST_WRITER}")
            elif name != self._last_writer(split):
                self._known.pop(split, None)
                self.files.write(f"{split}/{LAST_WRITER}", name)
            yield keep_turn

    def _last_writer(self, split: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError, StoreError):
            return self.files.read(f"{split}/{LAST_WRITER}", limit=1 << 10)
        return None

    def write_card(self, split: str, card: StoredCard) -> None:
        """Commit a card; the caller has the turn."""
        path = card_path(split, card.model)
        self.files.write(path, encode_card(card))
        known, stamp = self._known.get(split), self.files.stamp(path)
        if known is not None and stamp is not None:
            known.stamps[card.model], known.cards[card.model] = stamp, card
            known.siblings.add(card)


def check_together(cards: Iterable[StoredCard], split: str) -> None:
    """Raise unless these models fit each other, before any of them is in the split."""
    siblings = Siblings(split, ())
    for card in cards:
        siblings.check(card, card.contents.classes, graded=card.contents.graded)
        siblings.add(card)
