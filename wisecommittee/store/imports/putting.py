"""Several checked models -> store, none of them unless all fit together."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

from wisecommittee.committees.replicas import numbering_notes
from wisecommittee.store.admission import check_together
from wisecommittee.store.feature_table import FeatureTable, check_no_label
from wisecommittee.store.features import import_features
from wisecommittee.store.incoming import CheckedModel
from wisecommittee.store.logit_store import LogitStore


def put_together(
    store: LogitStore,
    split: str,
    models: Sequence[CheckedModel],
    *,
    replace: bool,
    features: FeatureTable | None = None,
) -> dict[str, str]:
    """Write models of one split that fit each other, and features of their units; returns {model: status}, as
    `LogitStore.put` does."""
    check_together([model.stored_card for model in models], split)
    if features is not None:
        check_no_label(features.of_units(models[0].rows.unit_ids, split), models[0].labels, features.what)
    done = {model.card.model: store.put(model, replace=replace) for model in models}
    if features is not None:
        import_features(store, split, features, replace=replace)
    return done


def origin(file: str | os.PathLike[str]) -> str:
    """The origin of a model, as its card records it."""
    return f"imported from {Path(file).name}"


def warn_of_numbering(store: LogitStore, split: str, models: Collection[str]) -> None:
    """Warn of models whose names hold numbers that do not make them replicas."""
    for note in numbering_notes(store.cards(split), models):
        warnings.warn(note, stacklevel=3)
