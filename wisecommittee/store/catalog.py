"""The catalog of a store: splits, models, cards, and the units that the models of a split share."""

from __future__ import annotations

import contextlib
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, AbsentNameError, StoreError, option
from wisecommittee.store import checks
from wisecommittee.store.card_files import decode_card
from wisecommittee.store.feature_table import Features, FeatureTable, check_no_label
from wisecommittee.store.layout import (
    OVERHEAD,
    card_path,
    check_split_name,
    features_path,
    is_split_name,
    model_of,
    units_path,
)
from wisecommittee.store.parquet.features_file import decode_features
from wisecommittee.store.parquet.units_file import decode_units, units_hash
from wisecommittee.store.stage_overhead import NO_OVERHEAD, StageOverhead, decode_overhead
from wisecommittee.store.storage.files import MAX_JSON, Files, Stamp
from wisecommittee.store.units import SplitUnits


class Catalog:
    """Splits, models, cards and units of the store below `files`. Units are read once until their file changes."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._units: dict[str, SplitUnits] = {}
        self._features: dict[str, tuple[Stamp | None, Features]] = {}
        self._given_features: FeatureTable | None = None
        self.labels_from: str | None = None  # the model whose predictions are the labels; None: those of the split
        self._committed_folder: dict[str, str] = {}  # {split: folder of one of its committed models}

    def refresh(self) -> None:
        """Forget everything read so far; needed after other code has changed the splits."""
        self._units.clear()
        self._features.clear()

    # Splits

    def splits(self) -> tuple[str, ...]:
        return tuple(name for name in self.files.names() if is_split_name(name) and self.has_split(name))

    def has_split(self, split: str) -> bool:
        """Whether at least one model is in that split; the first one fixes its units."""
        check_split_name(split)
        if split in self._committed_folder and self._is_committed(split, self._committed_folder[split]):
            return True
        for name in self.files.names(split):
            if model_of(name) and self._is_committed(split, name):
                self._committed_folder[split] = name
                return True
        return False

    def _is_committed(self, split: str, folder: str) -> bool:
        return self.files.stamp(f"{split}/{folder}/card.json") is not None

    def require(self) -> None:
        """Raise unless there is a store."""
        if not self.files.exists():
            raise StoreError(
                f"there is no store at {self.files.uri!r}; make one with `wisecommittee extract`, `import` or `demo`, "
                f"or name another with {option('store')}"
            )

    def require_split(self, split: str) -> None:
        """Raise unless the store has that split and at least one model in it."""
        check_split_name(split)
        self.require()
        if not self.has_split(split):
            known = ", ".join(self.splits())
            splits = f"{known}; name one with {option('split')}, or" if known else "none, the store is empty;"
            raise StoreError(
                f"store {self.files.uri!r} has no split {split!r}; splits: {splits} extract or import into it"
            )

    def stage_overhead(self) -> StageOverhead:
        """What every stage costs beside its members; nothing where it was not measured."""
        try:
            return decode_overhead(self.files.read(OVERHEAD, MAX_JSON), self.files.uri_of(OVERHEAD))
        except FileNotFoundError:
            return NO_OVERHEAD

    # Models and their cards

    def models(self, split: str) -> tuple[str, ...]:
        """Names of the committed models of a split, sorted."""
        return tuple(sorted(self.card_stamps(split)))

    def card_stamps(self, split: str) -> dict[str, Stamp]:
        """{model: stamp of its card.json} of the committed models of a split."""
        check_split_name(split)
        stamps = self.files.stamps(split, "card.json").items()
        return {model: stamp for name, stamp in stamps if (model := model_of(name)) is not None}

    def cards(self, split: str) -> tuple[StoredCard, ...]:
        """The cards of a split in canonical order (architecture, replica)."""
        return tuple(sorted((self.card(model, split) for model in self.models(split)), key=lambda card: card.key))

    def card(self, model: str, split: str) -> StoredCard:
        """The card of a model; AbsentNameError where the split does not have it."""
        card = self.read_card(split, model)
        if card is None:
            raise AbsentNameError(f"model in {split}", model, self.models(split))
        return card

    def read_card(self, split: str, model: str) -> StoredCard | None:
        """The card of a model, None where the split does not have it; StoreError if it cannot be read."""
        path = card_path(split, model)
        try:
            data = self.files.read(path, MAX_JSON)
        except FileNotFoundError:
            return None
        return decode_card(data, model, self.files.uri_of(path))

    def committed(self, split: str, model: str, *, replace: bool = False) -> StoredCard | None:
        """As `read_card`; with `replace`, a card that cannot be read counts as absent, so that the model can be
        replaced."""
        try:
            return self.read_card(split, model)
        except StoreError:
            if replace:
                return None
            raise

    def class_names(self, split: str) -> tuple[str, ...] | None:
        """Names of classes 0, 1, .. of the models of the split, or else those on which all other splits agree."""
        for splits in ([split], self.splits()):
            named = set()
            for name in splits:
                for model in self.models(name):
                    with contextlib.suppress(StoreError):
                        card = self.read_card(name, model)
                        named.add(None if card is None else card.class_names)
            if len(named - {None}) == 1:
                return (named - {None}).pop()
        return None

    # Units

    def units(self, split: str) -> SplitUnits:
        """The units of a split; StoreError unless its models were written for these very units."""
        check_split_name(split)
        path = units_path(split)
        file, stamp = self.files.uri_of(path), self.files.stamp(path)
        known = self._units.get(split)
        if known is not None and known.stamp == stamp:
            return known
        self.require_split(split)
        if stamp is None:
            raise StoreError(f"{file} is missing; restore it, or remove the models of {split} and import them again")
        unit_ids, labels = decode_units(self.files.read(path), file)
        checks.check_unit_ids(unit_ids, file)
        if not unit_ids:
            raise StoreError(f"{file}: no units; remove the models of {split} and import them again")
        labels.flags.writeable = False
        index = {unit: row for row, unit in enumerate(unit_ids)}
        units = SplitUnits(file, stamp, index, labels, units_hash(unit_ids, labels))
        if (card := self._readable_card(split)) is not None:
            units.check_card(card, split)
        self._units[split] = units
        return units

    def _readable_card(self, split: str) -> StoredCard | None:
        """Any readable card of a split. Unreadable cards are reported to callers that read the model."""
        for model in self.models(split):
            with contextlib.suppress(StoreError):
                if (card := self.read_card(split, model)) is not None:
                    return card
        return None

    def unit_index(self, split: str) -> dict[str, int]:
        """{unit id: row} in the order of every array this store returns for the split."""
        return self.units(split).index

    def unit_ids(self, split: str) -> list[str]:
        """Unit ids [N], in the order of every array this store returns for the split."""
        return list(self.unit_index(split))

    def features(self, split: str) -> Features:
        """{column: float64 numbers or text categories [N]} of the units of a split, in unit order; empty if the split
        has none."""
        path = features_path(split)
        stamp = None if self._given_features is not None else self.files.stamp(path)
        if split in self._features and self._features[split][0] == stamp:
            return self._features[split][1]
        table, features = self._given_features, Features()
        if stamp is not None:
            what = self.files.uri_of(path)
            ids, columns = decode_features(self.files.read(path), what)
            table = FeatureTable(what, {unit: row for row, unit in enumerate(ids)}, columns)
        if table is not None:
            features = table.of_units(self.unit_ids(split), split)
            check_no_label(features, self.units(split).labels, table.what)
        self._features[split] = stamp, features
        return features

    def with_feature_table(self, table: FeatureTable) -> Self:
        """This store, whose units have the features of a table in place of those in the store; nothing is written."""
        store = copy(self)
        store._features, store._given_features = {}, table
        return store

    def labels(self, split: str) -> NDArray[np.generic]:
        """int64 [N], or text [N] where answers are text; AbsentError for a split without labels."""
        if not self.has_labels(split) and self.labels_from is not None:
            raise AbsentNameError(f"model in {split} to take labels from", self.labels_from, self.models(split))
        if not self.has_labels(split):
            raise AbsentError(
                f"split {split!r} has no labels; `monitor` and `retune` do without, for all else remove its models and "
                f"import them with labels"
            )
        return self.units(split).labels

    def has_labels(self, split: str) -> bool:
        """Whether the units of a split have labels."""
        return checks.has_labels(self.units(split).labels)
