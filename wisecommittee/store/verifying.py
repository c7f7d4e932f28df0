"""Every check of the store, over everything that it holds; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import StoreError, WiseCommitteeError, option
from wisecommittee.store.admission import Admission
from wisecommittee.store.columns import StoredModel
from wisecommittee.store.content import content_hash, content_sum
from wisecommittee.store.groups import read_groups
from wisecommittee.store.layout import DIVIDING, HELD, PREFIX, folder_name, is_split_name, model_of
from wisecommittee.store.siblings import Siblings
from wisecommittee.store.storage.files import Files

_ODD = "a store holds files and folders only; put what is meant in its place, or remove it"


def verify(admission: Admission) -> list[str]:
    """One line per problem, none if all is sound."""
    return _Verification(admission).run()


class _Verification:
    def __init__(self, admission: Admission) -> None:
        self.admission, self.catalog, self.files = admission, admission.catalog, admission.files
        self.problems: list[str] = []
        self.blocks: dict[str, tuple[str, float]] = {}  # {block: (the first model that has it, its cost there)}

    def run(self) -> list[str]:
        self.problems += [f"{self.files.uri_of(path)}: {kind}; {_ODD}" for path, kind in _odd(self.files)]
        self.problems += [
            f"{self.files.uri_of(name)}: a `wisecommittee split` was cut off; run it again, it is completed then"
            for name in self.files.names()
            if name == DIVIDING or name.startswith(HELD)
        ]
        self._succeeds(self.catalog.stage_overhead)
        splits = [name for name in self.files.names() if is_split_name(name)]
        for split in splits:
            self._split(split)
        if not self.problems and not any(self.catalog.has_split(split) for split in splits):
            self._succeeds(self.catalog.require_split, "val")
        return self.problems

    def _succeeds(self, action: Callable[..., object], *arguments: object) -> bool:
        try:
            action(*arguments)
        except WiseCommitteeError as error:
            self.problems.append(str(error))
            return False
        return True

    def _split(self, split: str) -> None:
        committed = self.catalog.models(split)
        finished = {folder_name(model) for model in committed}
        for folder in self.files.names(split):
            if folder.startswith(PREFIX) and folder not in finished:
                name = unquote(folder.removeprefix(PREFIX)).encode("utf-8", "backslashreplace").decode()
                self.problems.append(f"{name} in {split}: unfinished; extract or import it again, or `remove` it")
        if not committed or not self._succeeds(self.catalog.units, split):
            return
        self._succeeds(read_groups, self.catalog, split)
        self._succeeds(self.catalog.features, split)
        cards = [self.catalog.card(m, split) for m in committed if self._succeeds(self.catalog.card, m, split)]
        siblings = Siblings(split, cards)
        for card in cards:
            if self._succeeds(self._model, card, split, siblings):
                self._compare_blocks(card, f"{card.model} in {split}")

    def _model(self, card: StoredCard, split: str, siblings: Siblings) -> None:
        contents = card.contents
        self.catalog.units(split).check_card(card, split)
        self.admission.check_elsewhere(split, card, contents.classes)
        siblings.check(card, contents.classes, graded=contents.graded)
        model = StoredModel(self.catalog, card, split)
        content = sum(values for _, values in model.blocks(content_sum))
        if content_hash(content) != contents.content:
            raise StoreError(
                f"{model.what}: its values are not those its card was written for; extract or import {card.model} "
                f"again with {option('replace', True)}"
            )

    def _compare_blocks(self, card: StoredCard, what: str) -> None:
        """Check that a block costs the same in all models."""
        for block, cost in card.blocks.items():
            first, known = self.blocks.setdefault(block, (what, cost))
            if known != cost:
                self.problems.append(f"block {block!r} costs {known} in {first}, {cost} in {what}; make them equal")


def _odd(files: Files) -> Iterator[tuple[str, str]]:
    """Yields (path, description) of everything in the store that no writer makes: links, pipes, names that are not
    UTF-8."""
    folders = [""]
    while folders:
        folder = folders.pop(0)
        for name, kind in files.odd(folder).items():
            yield f"{folder}/{name}" if folder else name, kind
        if not folder:
            folders += [name for name in files.names() if is_split_name(name)]
        elif "/" not in folder:
            folders += [f"{folder}/{name}" for name in files.names(folder) if model_of(name)]
