"""The units that choose and those that test."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import (
    CommitteeError,
    InfeasibleError,
    StoreError,
    UsageError,
    counted,
    option,
)
from wisecommittee.searches.doctor import REPORTING
from wisecommittee.searches.doctor.copies import overlap
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.members import check_identity, identity
from wisecommittee.searches.resampling.cross_fit import together_by
from wisecommittee.searches.stages.pool import Pool, open_pool
from wisecommittee.store import LogitStore


def divided(units: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions, ascending, of the units that choose and of those that test, drawn at random without strata: tests
    that count need independent units.

    Raises
    ------
    InfeasibleError
        One of the parts would be empty.
    """
    testing = round(units * share)
    if not 0 < testing < units:
        raise InfeasibleError(
            f"{counted(units, 'unit')} and {option('guarantee_share', share)}: {testing} would test; both the search "
            f"and the test need units; import more of them, or name a split with {option('guarantee_split')}"
        )
    order = np.random.default_rng(seed).permutation(units)
    return np.sort(order[testing:]), np.sort(order[:testing])


def one_of_each(groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Positions, ascending, of one unit of each group [n], drawn at random: these are independent, as the exact tests
    need them, and stand for a unit at random of a group at random."""
    order = np.random.default_rng(seed).permutation(len(groups))
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])


def divided_by_group(groups: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `divided`, by whole groups [N] from 0, of which one unit each tests."""
    choosing, testing = (np.flatnonzero(np.isin(groups, part)) for part in divided(int(groups.max()) + 1, share, seed))
    return choosing, testing[one_of_each(groups[testing], seed)]


def testing_pool(
    pool: Pool, store: LogitStore, asked: GuaranteeOptions, seed: int, group_by: str | None
) -> tuple[Pool, Pool]:
    """The pool on the units that choose and on those that test: of groups by a column, one unit each.

    Raises
    ------
    UsageError, StoreError, CommitteeError, InfeasibleError
        There is no such split, it chooses or only reports, it lacks a model, or it holds the units that choose.
    """
    split = asked.guarantee_split
    if split is None:
        if any(card.calibration is not None for card in pool.cards):
            raise UsageError(
                f"{option('calibrated', True)}: the calibrations were fitted on all units of {pool.split}, those that "
                f"would test among them; name another split with {option('guarantee_split')}"
            )
        groups = together_by(pool, group_by) if group_by is not None else None
        if groups is None:
            choosing, testing = divided(pool.units, asked.share, seed)
        else:
            choosing, testing = divided_by_group(groups, asked.share, seed)
        return pool.of_units(choosing), pool.of_units(testing)
    if split == pool.split:
        raise UsageError(
            f"{option('guarantee_split', split)} is the split that chooses, whose units favour what they chose; name "
            f"another split, or set units of it aside with {option('guarantee_share', 0.5)}"
        )
    if split == REPORTING:
        raise UsageError(
            f"{option('guarantee_split', split)}: {split} only reports, and a test decides; name another split, or set "
            f"units of {pool.split} aside with {option('guarantee_share', 0.5)}"
        )
    store.require_split(split)
    if (doubt := overlap(store, pool.split, split)) is not None:
        kind, text = doubt
        if kind == "copy":
            raise StoreError(text)
        warnings.warn(f"the guarantee takes units that chose for new ones: {text}", stacklevel=2)
    tests = _same_models(pool, store, split)
    groups = together_by(tests, group_by) if group_by is not None else None
    return pool, tests if groups is None else tests.of_units(one_of_each(groups, seed))


def _same_models(pool: Pool, store: LogitStore, split: str) -> Pool:
    """The models of a pool, with the calibrations that they have there, on another split, with or without labels."""
    there = set(store.models(split))
    if missing := [card.model for card in pool.cards if card.model not in there]:
        raise CommitteeError(
            f"split {split!r} lacks {', '.join(missing)}, which {pool.split!r} searches; extract or import "
            f"{'it' if len(missing) == 1 else 'them'} for {split!r}, or choose models with {option('models')}"
        )
    cards: list[StoredCard] = []
    for card in pool.cards:
        other = store.card(card.model, split)
        check_identity(other, identity(card))
        cards.append(other.with_calibration(card.calibration))
    return open_pool(
        store,
        split,
        cards,
        combine=pool.combine.name,
        confidence=pool.confidence_name,
        cost=pool.cost.name,
        labelled=False,
        parallel=pool.parallel,
    ).with_fees([pool.cost.unit])
