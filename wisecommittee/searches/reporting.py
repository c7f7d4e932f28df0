"""Committees and single models on the split that reports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from wisecommittee.errors import WiseCommitteeError
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.doctor import REPORTING, copied
from wisecommittee.searches.evaluate import evaluate_all
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.store import LogitStore


def reported(
    chosen: Sequence[Evaluation],
    store: LogitStore,
    split: str = REPORTING,
    *,
    threads: int | None = None,
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
    committees = [chosen[i].committee for i in complete]
    evaluations = evaluate_all(committees, store, split, threads=threads, detail=_detail(chosen))
    by_index = dict(zip(complete, evaluations, strict=True))
    return [by_index.get(i) for i in range(len(chosen))] if by_index else []


def _detail(chosen: Sequence[Evaluation]) -> CostDetail:
    """The figures of the costs that these evaluations have."""
    own = [e.distributions[e.committee.cost] for e in chosen if e.committee.cost in e.distributions]
    every = [(name, each) for e in chosen for name, each in e.distributions.items()]
    return CostDetail(
        tuple(sorted({percent for each in own for percent, _ in each.percentiles})),
        tuple(dict.fromkeys((name, amount) for name, each in every for amount, _ in each.exceeding)),
    )


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
