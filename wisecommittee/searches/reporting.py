"""Committees and single models on the split that reports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from wisecommittee.errors import WiseCommitteeError
from wisecommittee.searches.doctor import REPORTING, copied
from wisecommittee.searches.evaluate import evaluate_all
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.store import LogitStore


def reported(
    chosen: Sequence[Evaluation], store: LogitStore, split: str = REPORTING, *, threads: int | None = None
) -> list[Evaluation | None]:
    """The same committees evaluated on the reporting split; None for a committee for which the split lacks a model (see
    `lacking`).

    Empty if the split lacks a model for every committee, if it is the split that chose, or, with a warning, if it holds
    the units of the split that chose.
    """
    if not store.has_split(split) or any(e.split == split for e in chosen):
        return []
    for choosing in sorted({e.split for e in chosen}):
        if (why := copied(store, choosing, split)) is not None:
            warnings.warn(f"no figures of {split}: {why}", stacklevel=2)
            return []
    models, trusted = set(store.models(split)), {store.labels_from} - {None}
    complete = [i for i, e in enumerate(chosen) if models.issuperset({*e.committee.models, *trusted})]
    evaluations = evaluate_all([chosen[i].committee for i in complete], store, split, threads=threads)
    by_index = dict(zip(complete, evaluations, strict=True))
    return [by_index.get(i) for i in range(len(chosen))] if by_index else []


def lacking(chosen: Sequence[Evaluation], store: LogitStore, split: str = REPORTING) -> tuple[str, ...]:
    """Members of these committees, and the model that labels are from, that the reporting split lacks; none where there
    is no such split."""
    if not store.has_split(split):
        return ()
    needed = {model for e in chosen for model in e.committee.models}
    trusted = () if store.labels_from is None else (store.labels_from,)
    return tuple(sorted(needed.union(trusted) - set(store.models(split))))


def on_test(others: Sequence[Evaluation], store: LogitStore, threads: int | None) -> dict[tuple[str, ...], Evaluation]:
    """Models by themselves on the test split, by their names; without those of other weights or costs there."""
    try:
        found = reported(others, store, threads=threads)
    except WiseCommitteeError:
        return {}
    return {e.committee.models: e for e in found if e is not None}
