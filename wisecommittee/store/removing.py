"""Removing a model: its card first, so that it is gone at once; the units of a split go with its last model."""

from __future__ import annotations

from contextlib import ExitStack

from wisecommittee.store.admission import Admission
from wisecommittee.store.layout import (
    PLAN_NAME,
    PREFIX,
    check_split_name,
    features_path,
    folder_name,
    groups_path,
    is_split_name,
    lock_name,
    model_folder,
    units_path,
)


def remove(admission: Admission, model: str, split: str | None = None) -> tuple[str, ...]:
    """Remove a model from one split or from all; returns the splits it was in."""
    files = admission.files
    admission.catalog.require()
    if split is not None:
        check_split_name(split)
    splits = [split] if split else [name for name in files.names() if is_split_name(name)]
    holding = [name for name in splits if folder_name(model) in files.names(name)]
    for name in holding:
        _remove(admission, model, name)
    return tuple(holding)


def _remove(admission: Admission, model: str, split: str) -> None:
    files, folder = admission.files, model_folder(split, model)
    ranks = {int(match[1]) for name in files.names(folder) if (match := PLAN_NAME.fullmatch(name))}
    with ExitStack() as held:
        for rank in sorted(ranks | {0}):
            held.enter_context(files.lock(lock_name(split, model, rank), f"{model} in {split}"))
        keep_turn = held.enter_context(admission.turn(split, model))
        if not files.is_link(folder):
            files.delete(f"{folder}/card.json")
        files.delete_folder(folder)
        if not any(name.startswith(PREFIX) for name in files.names(split)):
            keep_turn()
            files.delete(units_path(split))
            files.delete(groups_path(split))
            files.delete(features_path(split))
            files.delete_temporaries(split)
