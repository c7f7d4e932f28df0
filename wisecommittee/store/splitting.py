"""One split -> several, stratified by label: the usual way to get val and test from one set of cached outputs. Cells of
an image stay together, and so do units of a group where the caller names a column of groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import AbsentError, StoreError, UsageError, counted, option
from wisecommittee.store.groups import assign_groups, groups_of, read_groups, write_groups
from wisecommittee.store.imports.segmentation import images_of
from wisecommittee.store.logit_store import DIVIDING, HELD, LogitStore, check_split_name
from wisecommittee.store.storage.local import LocalFiles

STAGING = ".staging"  # new splits while they are written
LOCK = ".lock-split"
DIVISION = "division"  # in a card's meta: of which split its rows are a part


def assign(labels: NDArray[np.generic], shares: Mapping[str, float], seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each new split, ascending; every label is divided in proportion (largest remainders), by seed."""
    names = list(shares)
    weights = np.array([shares[name] for name in names], np.float64)
    weights /= weights.sum()
    rng = np.random.default_rng(seed)
    taken: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    owed = np.zeros(len(names))  # what earlier labels rounded away, so that totals stay in proportion
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        exact = weights * len(rows) + owed
        counts = np.maximum(np.floor(exact), 0).astype(np.int64)
        for place in np.argsort(-(exact - counts), kind="stable")[: len(rows) - counts.sum()]:
            counts[place] += 1
        while counts.sum() > len(rows):
            counts[np.argmax(counts - exact)] -= 1
        owed = exact - counts
        for name, part in zip(names, np.split(rows, np.cumsum(counts)[:-1]), strict=True):
            taken[name].append(part)
    return {name: np.sort(np.concatenate(parts)) for name, parts in taken.items()}


def split_store(
    store: LogitStore,
    into: Mapping[str, float],
    *,
    seed: int = 0,
    source: str | None = None,
    by: str | None = None,
) -> dict[str, int]:
    """Divide a split of every model into new ones; returns {split: units}.

    into : {name: share}, shares above 0 (they are normalised). source : default the only split of the store. The source
    stays, unless its own name is among the new ones: then its part replaces it as the last step. What was divided in
    this way already is left as it is; what was cut off is completed. by : a column of the labels file that the units
    were imported with; units that are equal in it come into the same split.
    """
    if len(into) < 2 or any(not share > 0 or not share < float("inf") for share in into.values()):
        raise UsageError(
            f"{option('into', placeholder=_written(into))}; expected two or more names with shares above 0, for "
            "example val=0.5,test=0.5"
        )
    for name in into:
        check_split_name(name)
    store.require()
    with store.files.lock(LOCK, "the splits of the store"):
        if isinstance(store.files, LocalFiles):
            _complete(store, store.files)
        if is_divided(store, into, seed=seed, source=source, by=by):
            return {name: len(store.labels(name)) for name in into}
        source = _source(store, into, seed, source, by)
        rows, many = _divided(store, source, into, seed, by)
        if empty := [name for name, some in rows.items() if not len(some)]:
            raise AbsentError(f"split {empty[0]!r} would be empty: {source} has {many}, too few for {_written(into)}")
        target = store
        if isinstance(store.files, LocalFiles):
            store.files.delete_folder(STAGING)
            target = LogitStore(store.files.local / STAGING)
        for name in into:
            for card in store.cards(source):
                _copy(store, card, source, target, name, rows[name], _division(source, into, seed, by))
            if groups := read_groups(store, source):
                ids = store.unit_ids(source)
                columns = {column: [values[row] for row in rows[name]] for column, values in groups.items()}
                write_groups(target, name, [ids[row] for row in rows[name]], columns)
        if isinstance(store.files, LocalFiles):
            store.files.rename(STAGING, DIVIDING)
            _complete(store, store.files)
    return {name: len(some) for name, some in rows.items()}


def is_divided(
    store: LogitStore,
    into: Mapping[str, float],
    *,
    seed: int = 0,
    source: str | None = None,
    by: str | None = None,
) -> bool:
    """Whether the new splits are there already, made in the same way of the same outputs. Models that were added to
    them since are no matter."""
    if not set(into) <= set(store.splits()):
        return False
    origins = {origin for card in store.cards(next(iter(into))) if (origin := _origin(card)) is not None}
    for origin in origins:
        how = _division(origin, into, seed, by)
        first, *others = (_made(store, name, how) for name in into)
        if first and all(other == first for other in others) and source in (None, origin):
            kept = origin not in into and store.has_split(origin)
            return not kept or first == {c.model: c.contents.content for c in store.cards(origin)}
    return False


def _source(store: LogitStore, into: Mapping[str, float], seed: int, source: str | None, by: str | None) -> str:
    """The split to divide; raises unless it is there and the new names are free."""
    known = store.splits()
    if source is None:
        if len(known) > 1:
            raise UsageError(f"the store has splits {', '.join(known)}; say which to divide with {option('split')}")
        source = known[0] if known else "val"
    store.require_split(source)
    whole = {card.model for card in store.cards(source)}
    for name in into:
        if name in known and name != source:
            begun = set() if store.files.local else _made(store, name, _division(source, into, seed, by)).keys()
            if not begun or not begun <= whole:  # on an object store, what was cut off goes on
                raise StoreError(f"split {name!r} exists already; remove its models first or choose another name")
    if source in into and store.files.local is None:
        raise UsageError(
            f"on an object store {source!r} cannot replace itself; choose other names and remove it afterwards"
        )
    return source


def _origin(card: ModelCard) -> str | None:
    """The split that a model's rows are a part of."""
    made = card.meta.get(DIVISION)
    source = made.get("source") if isinstance(made, dict) else None
    return source if isinstance(source, str) else None


def _division(source: str, into: Mapping[str, float], seed: int, by: str | None) -> dict[str, Any]:
    """What the cards of new splits say about where their rows are from."""
    whole = sum(into.values())
    return {"source": source, "shares": {name: share / whole for name, share in into.items()}, "seed": seed, "by": by}


def _made(store: LogitStore, split: str, how: Mapping[str, Any]) -> dict[str, str]:
    """{model: content of the source} of the models of a split that were made in this way."""
    found = {}
    for card in store.cards(split):
        made = card.meta.get(DIVISION)
        if isinstance(made, dict) and {name: made.get(name) for name in how} == how:
            found[card.model] = str(made.get("content"))
    return found


def _complete(store: LogitStore, files: LocalFiles) -> None:
    """Put new splits in their places once all of them are written: what was begun is never taken back. The one that
    replaces its source comes last."""
    if DIVIDING in files.names() and not files.is_link(DIVIDING):
        new = LogitStore(files.local / DIVIDING)
        for name in sorted(new.splits(), key=store.has_split):
            if store.has_split(name):
                if any(_origin(card) != name for card in new.cards(name)):
                    raise StoreError(
                        f"split {name!r} was made by others while another was divided into it; remove its models, then "
                        f"run again"
                    )
                files.rename(name, f"{HELD}{name}")
            else:
                files.delete_folder(name)  # what an unfinished writer may have left
            files.rename(f"{DIVIDING}/{name}", name)
        files.delete_folder(DIVIDING)
    there = files.names()
    for name in there:
        original = name.removeprefix(HELD)
        if original != name and original in there:
            files.delete_folder(name)
        elif original != name:
            files.rename(name, original)
    store.refresh()


def _written(into: Mapping[str, float]) -> str:
    return ",".join(f"{name}={share:g}" for name, share in into.items())


def _divided(
    store: LogitStore, source: str, into: Mapping[str, float], seed: int, by: str | None
) -> tuple[dict[str, NDArray[np.int64]], str]:
    """Rows of each new split, and how many units there are to divide: groups where `by` names them, images where units
    are cells of them, since neighbouring cells are too alike to report on each other."""
    if by is not None:
        groups = groups_of(store, source, by)
        return assign_groups(store.labels(source), groups, into, seed), counted(int(groups.max()) + 1, "group")
    if not any(card.kind == "statistics" for card in store.cards(source)):
        labels = store.labels(source)
        return assign(labels, into, seed), f"{counted(len(labels), 'unit')}"
    images = images_of(store.unit_ids(source))
    count = int(images.max()) + 1
    whole = assign(np.zeros(count, np.int64), into, seed)
    return {name: np.flatnonzero(np.isin(images, some)) for name, some in whole.items()}, f"{counted(count, 'image')}"


def _copy(
    store: LogitStore,
    card: StoredCard,
    source: str,
    target: LogitStore,
    name: str,
    rows: NDArray[np.int64],
    how: Mapping[str, Any],
) -> None:
    model = card.model
    contents = card.contents
    unit_ids = store.unit_ids(source)
    answers = store.answers(model, source)[rows].tolist() if contents.classes is None else None
    meta = {**card.meta, DIVISION: {**how, "content": contents.content}}
    target.add(
        replace(card.without_contents(), meta=meta),
        name,
        labels=store.labels(source)[rows],
        unit_ids=[unit_ids[row] for row in rows],
        outputs=None if contents.classes is None else store.outputs(model, source)[rows],
        answers=answers,
        quality=store.quality(model, source)[rows] if contents.graded else None,
        scores={score: store.scores(model, source, score)[rows] for score in contents.scores},
        unit_costs={cost: store.unit_costs(model, source, cost)[rows] for cost in contents.unit_costs},
        dtype=contents.dtype,
    )
