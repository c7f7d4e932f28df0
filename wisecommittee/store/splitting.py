"""One split -> several, stratified by label: the usual way to get val and test from one set of cached outputs. Cells of
an image stay together, and so do units of a group where the caller names a column of groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AbsentError, StoreError, UsageError, counted
from wisecommittee.store.groups import assign_groups, groups_of, read_groups, write_groups
from wisecommittee.store.logit_store import LogitStore, check_split_name
from wisecommittee.store.segmentation import images_of

STAGING = ".staging"  # new splits while they are written
HELD = ".held-"  # the source while its own part takes its place


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
    stays, unless its own name is among the new ones: then its part replaces it as the last step. by : a column of the
    labels file the units were imported with; units that are equal in it come into the same split.
    """
    if len(into) < 2 or any(not share > 0 or not share < float("inf") for share in into.values()):
        raise UsageError(
            f"--into {_written(into)}; expected two or more names with shares above 0, for example val=0.5,test=0.5"
        )
    for name in into:
        check_split_name(name)
    store.require()
    _recover(store)
    known = store.splits()
    if source is None:
        if len(known) > 1:
            raise UsageError(f"the store has splits {', '.join(known)}; say which to divide with --split")
        source = known[0] if known else "val"
    store.require_split(source)
    if existing := [name for name in into if name in known and name != source]:
        raise StoreError(f"split {existing[0]!r} exists already; remove its models first or choose another name")
    if source in into and store.files.local is None:
        raise UsageError(
            f"on an object store {source!r} cannot replace itself; choose other names and remove it afterwards"
        )
    rows, many = _divided(store, source, into, seed, by)
    if empty := [name for name, some in rows.items() if not len(some)]:
        raise AbsentError(f"split {empty[0]!r} would be empty: {source} has {many}, too few for {_written(into)}")
    if store.files.local is None:
        for name in into:
            _copy_all(store, source, store, name, rows[name])
        return {name: len(some) for name, some in rows.items()}
    root = store.files.local
    store.files.delete_folder(STAGING)
    staging = LogitStore(root / STAGING)
    for name in into:
        _copy_all(store, source, staging, name, rows[name])
    for name in into:
        if name == source:
            (root / source).rename(root / f"{HELD}{source}")
        else:
            store.files.delete_folder(name)  # what an unfinished writer may have left
        (root / STAGING / name).rename(root / name)
    store.files.delete_folder(STAGING)
    store.files.delete_folder(f"{HELD}{source}")
    store.refresh()
    return {name: len(some) for name, some in rows.items()}


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


def _recover(store: LogitStore) -> None:
    """Undo a replacement that was cut off between its two renames."""
    if store.files.local is None:
        return
    for folder in store.files.names():
        if folder.startswith(HELD):
            original = store.files.local / folder.removeprefix(HELD)
            if original.exists():
                store.files.delete_folder(folder)
            else:
                (store.files.local / folder).rename(original)
    store.refresh()


def _copy_all(store: LogitStore, source: str, target: LogitStore, name: str, rows: NDArray[np.int64]) -> None:
    for card in store.cards(source):
        _copy(store, card.model, source, target, name, rows)
    if groups := read_groups(store, source):
        ids = store.unit_ids(source)
        columns = {column: [values[row] for row in rows] for column, values in groups.items()}
        write_groups(target, name, [ids[row] for row in rows], columns)


def _copy(store: LogitStore, model: str, source: str, target: LogitStore, name: str, rows: NDArray[np.int64]) -> None:
    card = store.card(model, source)
    contents = card.contents
    assert contents is not None
    unit_ids = store.unit_ids(source)
    answers = store.answers(model, source)[rows].tolist() if contents.classes is None else None
    target.add(
        card.with_contents(None),
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
