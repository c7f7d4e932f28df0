"""What differs between two committees, by their files and on the units of a store; and between one and a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import CommitteeError, UsageError, option
from wisecommittee.operations.difference import Difference, Field, OnUnits, UnitPair
from wisecommittee.operations.outcomes import UnitOutcomes, unit_outcomes
from wisecommittee.operations.unit_walk import answer_of
from wisecommittee.searches.members import check_identity, judged
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.paired import PairedCounts, difference_interval, mcnemar
from wisecommittee.store import LogitStore, StoreLike, open_store
from wisecommittee.store.staleness import staleness

SHOWN = 5  # units that differ


def diff(
    a: Committee | str | os.PathLike[str],
    b: Committee | str | os.PathLike[str] | None = None,
    store: StoreLike | None = None,
    split: str = "test",
    *,
    force: bool = False,
) -> Difference:
    """What differs between two committees; or, without the second, between a committee and a store.

    Parameters
    ----------
    a : Committee or path
    b : Committee or path, optional
    store : LogitStore or path, optional
        With it, also the units on which the two differ, with intervals of the differences of quality and cost; and
        whether the store still holds what each was chosen on: the units and outputs of the split that chose it, and its
        members' weights and multiply-adds.
    split : str
        The split whose units are compared.
    force : bool
        As of `evaluate`.

    Returns
    -------
    Difference

    Raises
    ------
    UsageError
        There is neither a second committee nor a store.
    CommitteeError, StoreError
        As of `evaluate`, or the second committee has no such cost as the first.
    """
    if b is None and store is None:
        raise UsageError(f"diff: name a second committee, or a store with {option('store', placeholder='FOLDER')}")
    first, second = (each if each is None or isinstance(each, Committee) else Committee.load(each) for each in (a, b))
    assert first is not None
    named = {"a": first} | ({} if second is None else {"b": second})
    source = None if store is None else open_store(store)
    changed = None if source is None else {name: _changes(each, source) for name, each in named.items()}
    if second is None:
        return Difference(None, None, changed)
    fields = tuple(_fields(first.to_json(), second.to_json(), ()))
    on = None if source is None else _on_units(first, second, source, split, force=force)
    return Difference(fields, first.decides_as(second), changed, on)


def _changes(committee: Committee, store: LogitStore) -> tuple[str, ...]:
    """What a store holds otherwise than when a committee was chosen, as sentences."""
    out = staleness(committee, store)
    for split in store.splits():
        for model in sorted(set(committee.models) & set(store.models(split))):
            try:
                check_identity(store.card(model, split), committee.members.get(model, {}))
            except CommitteeError as error:
                out.append(f"{split}: {error}")
    return tuple(out)


def _fields(a: Any, b: Any, path: tuple[str, ...]) -> Iterator[Field]:
    """The leaves at which two JSON values differ; lists are leaves."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys((*a, *b)):
            yield from _fields(a.get(name), b.get(name), (*path, name))
    elif a != b:
        yield Field(".".join(path), a, b)


def _on_units(a: Committee, b: Committee, store: LogitStore, split: str, *, force: bool) -> OnUnits:
    source = judged([a, b], store, split)
    first = unit_outcomes(a, source, split, force=force)
    second = unit_outcomes(b, source, split, force=force, cost=a.cost)
    answers = None
    if first.prediction is not None and second.prediction is not None:
        answers = first.prediction != second.prediction
    stages = first.stage != second.stage
    differ = np.flatnonzero(stages if answers is None else answers)
    low, high = zip(first.cost_range, second.cost_range, strict=True)
    ids, classes = source.unit_ids(split), source.class_names(split)
    return OnUnits(
        split,
        len(first),
        first.measure,
        None if answers is None else int(answers.sum()),
        int(stages.sum()),
        _right(first, second),
        _quality(first, second),
        {"name": a.cost} | _means(first.cost, second.cost, (low[1] - high[0], high[1] - low[0])),
        tuple(name for name, each in (("a", a), ("b", b)) if each.chosen_on == split),
        tuple(_pair(int(unit), ids[unit], (first, second), classes) for unit in differ[:SHOWN]),
    )


def _counts(first: UnitOutcomes, second: UnitOutcomes) -> PairedCounts | None:
    """Where both are right, each alone, or none; None unless units are right or wrong."""
    if first.quality is None or second.quality is None or not first.counts:
        return None
    return PairedCounts.of(first.quality > 0, second.quality > 0)


def _right(first: UnitOutcomes, second: UnitOutcomes) -> dict[str, int] | None:
    counts = _counts(first, second)
    return None if counts is None else dict(zip(("both", "a_only", "b_only", "neither"), counts, strict=True))


def _quality(first: UnitOutcomes, second: UnitOutcomes) -> dict[str, Any] | None:
    if first.quality is None or second.quality is None:
        return None
    if (counts := _counts(second, first)) is None:
        return _means(first.quality, second.quality, (-1.0, 1.0)) | {"p": None}
    means = {"a": float(first.quality.mean()), "b": float(second.quality.mean())}
    interval = list(difference_interval(counts))
    return means | {"difference": counts.difference, "interval": interval, "p": mcnemar(counts)}


def _means(a: NDArray[np.float64], b: NDArray[np.float64], bounds: tuple[float, float]) -> dict[str, Any]:
    """Means, and the difference of b less a with its interval. bounds : of the difference on any unit."""
    gaps = b - a
    interval = list(mean_interval(gaps, 0.95, bounds) if bounds[0] < bounds[1] else bounds)
    return {"a": float(a.mean()), "b": float(b.mean()), "difference": float(gaps.mean()), "interval": interval}


def _pair(unit: int, name: str, both: tuple[UnitOutcomes, UnitOutcomes], classes: tuple[str, ...] | None) -> UnitPair:
    said = [None if each.prediction is None else answer_of(each.prediction[unit], classes) for each in both]
    right = [None if each.quality is None or not each.counts else bool(each.quality[unit] > 0) for each in both]
    return UnitPair(
        name,
        (said[0], said[1]),
        (int(both[0].stage[unit]) + 1, int(both[1].stage[unit]) + 1),
        (float(both[0].cost[unit]), float(both[1].cost[unit])),
        None if None in right else (bool(right[0]), bool(right[1])),
    )
