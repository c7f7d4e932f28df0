"""The units that test statements, and whether they are enough."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import (
    AbsentNameError,
    CommitteeError,
    InfeasibleError,
    StoreError,
    UsageError,
    counted,
    option,
)
from wisecommittee.searches.doctor import REPORTING, copied
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.statement import BEST_SINGLE, Guarantee
from wisecommittee.searches.members import check_identity, identity
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


def testing_pool(pool: Pool, store: LogitStore, asked: GuaranteeOptions) -> tuple[Pool, Pool]:
    """The pool on the units that choose and on those that test.

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
        choosing, testing = divided(pool.units, asked.share, asked.seed)
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
    if (why := copied(store, pool.split, split)) is not None:
        raise StoreError(why)
    return pool, _same_models(pool, store, split)


def _same_models(pool: Pool, store: LogitStore, split: str) -> Pool:
    """The models of a pool on another split, with the calibrations that they have in the pool."""
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
        store, split, cards, combine=pool.combine.name, confidence=pool.confidence_name, cost=pool.cost.name
    )


def classes_named(guarantees: tuple[Guarantee, ...], pool: Pool) -> dict[str, Any]:
    """The value, in labels and predictions, of each class that a statement names.

    Raises
    ------
    AbsentNameError
        There is no such class.
    """
    named = pool.store.class_names(pool.split) if pool.averaged else None
    if named is not None:
        known: dict[str, Any] = {name: index for index, name in enumerate(named)}
    elif pool.averaged:
        known = {str(index): index for index in range(pool.cards[0].contents.classes or 0)}
    else:
        known = {str(label): label for label in np.unique(pool.store.labels(pool.split))}
    wanted = [str(g.subject) for g in guarantees if g.figure in ("precision", "recall")]
    for name in wanted:
        if name not in known:
            raise AbsentNameError("class", name, known)
    return {name: known[name] for name in wanted}


def require_answerable(guarantees: tuple[Guarantee, ...], pool: Pool, delta: float) -> None:
    """Refuse statements that these units cannot show whatever the committee.

    pool : on the units that test.

    Raises
    ------
    UsageError
        The task has no statements, or a cost or a model is not in the pool.
    InfeasibleError
        There are too few units.
    """
    if pool.task.width > 1:
        raise UsageError(
            f"guarantees are about units that are right, wrong or graded; {pool.task.measure} is no mean over units, "
            f"and images are not independent cells: leave out {option('guarantee')}"
        )
    models = [card.model for card in pool.cards]
    costs = [pool.cost.name, *(charges.name for charges in pool.further)]
    for each in guarantees:
        for model in each.models:
            if model not in (*models, BEST_SINGLE):
                raise AbsentNameError("model", model, models)
        if each.of_cost and each.subject not in ("cost", *costs):
            raise AbsentNameError("cost", str(each.subject), ["cost", *costs])
        _require_units(each, pool, delta)


def _require_units(each: Guarantee, pool: Pool, delta: float) -> None:
    """Refuse a share that no error at all would not show."""
    if each.figure == "average" or (each.figure == "accuracy" and (each.subject or not pool.task.counts)):
        return
    units, noun = pool.units, "unit"
    if each.figure == "recall":
        units, noun = (
            int((pool.labels == classes_named((each,), pool)[str(each.subject)]).sum()),
            f"{each.subject} unit",
        )
    needed = math.ceil(math.log(delta) / math.log(1 - each.number if each.of_cost else each.number))
    if units < needed:
        raise InfeasibleError(
            f"guarantee {str(each)!r} at delta {delta:g} needs {counted(needed, noun)} that test it, and there "
            f"{'is' if units == 1 else 'are'} {units:,}: not one error among them would show it; set more aside with "
            f"{option('guarantee_share')}, import more, or weaken the statement"
        )
