"""Several checked models -> store, none of them unless all fit together."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.replicas import numbering_notes
from wisecommittee.store.admission import check_together
from wisecommittee.store.feature_table import FeatureTable, check_no_label
from wisecommittee.store.features import check_features, import_features
from wisecommittee.store.incoming import CheckedModel
from wisecommittee.store.logit_store import LogitStore

Models = Callable[[], Iterable[CheckedModel]]  # makes and checks models one at a time


def put_together(
    store: LogitStore, split: str, models: Models, *, replace: bool, features: FeatureTable | None = None
) -> dict[str, str]:
    """Write models of one split that fit each other, and features of their units; returns {model: status}, as
    `LogitStore.put` does.

    models : called twice, to check all of them and then to write them, so that memory holds one model at a time.
    """
    check_all(store, split, models(), replace=replace, features=features)
    done = {model.card.model: store.put(model, replace=replace) for model in models()}
    if features is not None:
        import_features(store, split, features, replace=replace)
    return done


def check_all(
    store: LogitStore, split: str, models: Iterable[CheckedModel], *, replace: bool, features: FeatureTable | None
) -> None:
    """Raise unless models of one split fit each other, and features their units."""

    def cards() -> Iterator[StoredCard]:
        for number, model in enumerate(models):
            if features is not None and not number:
                _check_features(store, model, features, replace=replace)
            yield model.stored_card

    check_together(cards(), split)


def _check_features(store: LogitStore, model: CheckedModel, features: FeatureTable, *, replace: bool) -> None:
    if store.has_split(model.split):
        check_features(store, model.split, features, replace=replace)
    else:
        check_no_label(features.of_units(model.rows.unit_ids, model.split), model.labels, features.what)


def origin(file: str | os.PathLike[str]) -> str:
    """The origin of a model, as its card records it."""
    return f"imported from {Path(file).name}"


def warn_of_numbering(store: LogitStore, split: str, models: Collection[str]) -> None:
    """Warn of models whose names hold numbers that do not make them replicas."""
    for note in numbering_notes(store.cards(split), models):
        warnings.warn(note, stacklevel=3)
