"""One split -> several, stratified by label: the usual way to get val and test from one set of cached outputs. Cells of
an image stay together, and so do units of a group where the caller names a column of groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, StoreError, UsageError, counted, option
from wisecommittee.store.features import write_features
from wisecommittee.store.groups import assign_groups, groups_of, read_groups, write_groups
from wisecommittee.store.imports.segmentation import images_of
from wisecommittee.store.layout import DIVIDING, HELD, check_split_name
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.rows import ModelRows
from wisecommittee.store.storage.local import LocalFiles

STAGING = ".staging"  # new splits while they are written
LOCK = ".lock-split"
DIVISION = "division"  # field of a card's meta: how its split was made, and from which content


@dataclass(frozen=True, slots=True)
class Division:
    """How a split is divided. into : {new split: its share, above 0}; by : a column of groups, None for none."""

    source: str
    into: Mapping[str, float]
    seed: int
    by: str | None

    def recorded(self) -> dict[str, Any]:
        """The record of the division on the cards of new splits."""
        whole = sum(self.into.values())
        shares = {name: share / whole for name, share in self.into.items()}
        return {"source": self.source, "shares": shares, "seed": self.seed, "by": self.by}

    def divided_contents(self, store: LogitStore, split: str) -> dict[str, str]:
        """{model: content that was divided}, for the models of a new split that this division has made."""
        how, contents = self.recorded(), {}
        for card in store.cards(split):
            record = card.meta.get(DIVISION)
            if isinstance(record, dict) and {name: record.get(name) for name in how} == how:
                contents[card.model] = str(record.get("content"))
        return contents

    def rows(self, store: LogitStore) -> tuple[dict[str, NDArray[np.int64]], str]:
        """Rows of each new split, and how many units there are to divide, in words.

        Units are divided one by one, by groups where `by` names them, and by images where units are cells of them:
        neighbouring cells are too alike to report on each other.
        """
        if self.by is not None:
            groups = groups_of(store, self.source, self.by)
            many = counted(int(groups.max()) + 1, "group")
            return assign_groups(store.labels(self.source), groups, self.into, self.seed), many
        if not any(card.kind == "cell_counts" for card in store.cards(self.source)):
            labels = store.labels(self.source)
            return assign(labels, self.into, self.seed), counted(len(labels), "unit")
        images = images_of(store.unit_ids(self.source))
        count = int(images.max()) + 1
        whole = assign(np.zeros(count, np.int64), self.into, self.seed)
        rows = {name: np.flatnonzero(np.isin(images, chosen)) for name, chosen in whole.items()}
        return rows, counted(count, "image")


def assign(labels: NDArray[np.generic], shares: Mapping[str, float], seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each new split, ascending; every label is divided in proportion (largest remainders), by seed."""
    names = list(shares)
    weights = np.array([shares[name] for name in names], np.float64)
    weights /= weights.sum()
    rng = np.random.default_rng(seed)
    taken: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    owed = np.zeros(len(names))  # remainders of earlier labels, so that totals stay in proportion
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        exact = weights * len(rows) + owed
        counts = np.maximum(np.floor(exact), 0).astype(np.int64)
        for k in np.argsort(-(exact - counts), kind="stable")[: len(rows) - counts.sum()]:
            counts[k] += 1
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
    """Divide a split of every model into new splits.

    A division that is complete is left unchanged; one that was interrupted is completed.

    Parameters
    ----------
    store : LogitStore
    into : {name: share}
        Two or more new splits with shares above 0, which are normalised.
    seed : int
        Seed of the random division.
    source : str, optional
        The split to divide; by default the only split of the store. It stays, unless one of the new splits has its
        name: in that case the new split replaces it in the last step.
    by : str, optional
        A column of the labels file that the units were imported with. Units with equal values come into the same split.

    Returns
    -------
    {new split: number of units}

    Raises
    ------
    UsageError
        There are fewer than two new splits, or a share is not above 0.
    AbsentError
        A new split would be empty.
    StoreError
        The store, the source or the column is missing, or a new split holds models already.
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
        division = Division(_source_of(store, into, source), into, seed, by)
        _check_free(store, division)
        rows, many = division.rows(store)
        if empty := [name for name, chosen in rows.items() if not len(chosen)]:
            raise AbsentError(
                f"split {empty[0]!r} would be empty: {division.source} has {many}, too few for {_written(into)}"
            )
        target = store
        if isinstance(store.files, LocalFiles):
            store.files.delete_folder(STAGING)
            target = LogitStore(store.files.local / STAGING)
        for name in into:
            _copy(store, target, division, name, rows[name])
        if isinstance(store.files, LocalFiles):
            store.files.rename(STAGING, DIVIDING)
            _complete(store, store.files)
    return {name: len(chosen) for name, chosen in rows.items()}


def is_divided(
    store: LogitStore,
    into: Mapping[str, float],
    *,
    seed: int = 0,
    source: str | None = None,
    by: str | None = None,
) -> bool:
    """Whether the new splits exist already, made in the same way from the same outputs. Models that were added to them
    later do not matter."""
    if not set(into) <= set(store.splits()):
        return False
    origins = {origin for card in store.cards(next(iter(into))) if (origin := _origin(card)) is not None}
    for origin in origins:
        division = Division(origin, into, seed, by)
        first, *others = (division.divided_contents(store, name) for name in into)
        if first and all(other == first for other in others) and source in (None, origin):
            kept = origin not in into and store.has_split(origin)
            return not kept or first == {card.model: card.contents.content for card in store.cards(origin)}
    return False


def _source_of(store: LogitStore, into: Mapping[str, float], source: str | None) -> str:
    """The split to divide; raises unless it is there."""
    known = store.splits()
    if source is None:
        if len(known) > 1:
            raise UsageError(f"the store has splits {', '.join(known)}; say which to divide with {option('split')}")
        source = known[0] if known else "val"
    store.require_split(source)
    return source


def _check_free(store: LogitStore, division: Division) -> None:
    """Raise unless the names of the new splits are free."""
    known, source = store.splits(), division.source
    whole = {card.model for card in store.cards(source)}
    for name in division.into:
        if name in known and name != source:
            begun = set() if store.files.local else division.divided_contents(store, name).keys()
            if not begun or not begun <= whole:  # on an object store, a division that was cut off goes on
                raise StoreError(f"split {name!r} exists already; remove its models first or choose another name")
    if source in division.into and store.files.local is None:
        raise UsageError(
            f"on an object store {source!r} cannot replace itself; choose other names and remove it afterwards"
        )


def _origin(card: StoredCard) -> str | None:
    """The split that a model's rows are a part of."""
    record = card.meta.get(DIVISION)
    source = record.get("source") if isinstance(record, dict) else None
    return source if isinstance(source, str) else None


def _complete(store: LogitStore, files: LocalFiles) -> None:
    """Move the new splits to their names once all of them are written; moves are never taken back. The split that
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
                files.delete_folder(name)  # files that an unfinished writer may have left
            files.rename(f"{DIVIDING}/{name}", name)
        files.delete_folder(DIVIDING)
    names = files.names()
    for name in names:
        original = name.removeprefix(HELD)
        if original != name and original in names:
            files.delete_folder(name)
        elif original != name:
            files.rename(name, original)
    store.refresh()


def _written(into: Mapping[str, float]) -> str:
    return ",".join(f"{name}={share:g}" for name, share in into.items())


def _copy(store: LogitStore, target: LogitStore, division: Division, name: str, chosen: NDArray[np.int64]) -> None:
    """Put the chosen rows of every model, and the groups and features of their units, into a new split of `target`."""
    source = division.source
    every = store.unit_ids(source)
    unit_ids, labels = [every[row] for row in chosen], store.labels(source)[chosen]
    for card in store.cards(source):
        meta = {**card.meta, DIVISION: {**division.recorded(), "content": card.contents.content}}
        new = replace(card.without_contents(), meta=meta)
        rows = _rows(store, card, source, chosen, unit_ids)
        target.put(target.checked(new, name, rows, labels, card.contents.dtype))
    if groups := read_groups(store, source):
        columns = {column: [values[row] for row in chosen] for column, values in groups.items()}
        write_groups(target, name, unit_ids, columns)
    if features := store.features(source):
        write_features(target, name, {column: values[chosen] for column, values in features.items()})


def _rows(store: LogitStore, card: StoredCard, split: str, chosen: NDArray[np.int64], unit_ids: list[str]) -> ModelRows:
    """The chosen rows of a model, which are the units of these ids."""
    model, contents = card.model, card.contents
    return ModelRows(
        unit_ids,
        None if contents.classes is None else store.outputs(model, split)[chosen],
        store.answers(model, split)[chosen].tolist() if contents.classes is None else None,
        store.quality(model, split)[chosen] if contents.graded else None,
        {name: store.scores(model, split, name)[chosen] for name in contents.scores},
        {name: store.unit_costs(model, split, name)[chosen] for name in contents.unit_costs},
    )
