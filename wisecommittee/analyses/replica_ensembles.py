"""Ensembles of small models against single large ones (Kondratyuk et al. 2020): accuracy over cost for 1, 2, ..
replicas of each architecture, and where the ensemble of the smaller beats the next larger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, UsageError
from wisecommittee.searches.sequences import require_counts
from wisecommittee.searches.stages.pool import Pool, open_pool
from wisecommittee.searches.stages.stage_tables import tables_for

MOST = 8  # replicas, as in the paper
DRAWS = 100  # at most this many sets of replicas of one size
SEED = 0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Ensembles of `members` replicas of one architecture, over `draws` sets of them.

    median, low, high (quartiles), least, most : quality; cost : all members; parallel : the dearest member, which is
    the latency if every member has its own worker (Sec. 5). Both are medians over the draws.
    """

    architecture: str
    members: int
    draws: int
    median: float
    low: float
    high: float
    least: float
    most: float
    cost: float
    parallel: float


@dataclass(frozen=True, slots=True)
class Crossover:
    """An architecture and the next larger one.

    ensemble : the fewest replicas of the smaller that are as accurate as one of the larger, by medians; None if all do
    not suffice. overtaken : the size of the first ensemble of the smaller that an ensemble of the larger equals at no
    more cost.
    """

    smaller: CurvePoint
    larger: CurvePoint
    ensemble: CurvePoint | None
    overtaken: int | None

    @property
    def beats(self) -> bool:
        """Whether such an ensemble is as accurate and costs less."""
        return self.ensemble is not None and self.ensemble.cost < self.larger.cost


@dataclass(frozen=True, slots=True)
class ReplicaEnsembles:
    """curves : per architecture, by cost, a point for each number of members from 1."""

    split: str
    n: int
    cost: str
    curves: tuple[tuple[CurvePoint, ...], ...]

    def crossovers(self) -> tuple[Crossover, ...]:
        """A crossover of each architecture with the next larger one."""
        return tuple(_crossover(smaller, larger) for smaller, larger in pairwise(self.curves))


def _crossover(smaller: tuple[CurvePoint, ...], larger: tuple[CurvePoint, ...]) -> Crossover:
    needed = next((p for p in smaller if p.median >= larger[0].median), None)
    overtaken = next(
        (p.members for p in smaller if any(q.cost <= p.cost and q.median >= p.median for q in larger)), None
    )
    return Crossover(smaller[0], larger[0], needed, overtaken)


def reporting_pool(study: Study) -> Pool:
    """The models on the reporting split if there is one (nothing is chosen here).

    The combining rule is the geometric mean (= mean of logits) unless the study names another.
    """
    split = study.reports if study.store.has_split(study.reports) else study.split
    present = {card.model for card in study.store.cards(split)}
    cards = [card for card in study.cards() if card.model in present]
    if not cards:
        raise AbsentError(f"none of these models is in split {split!r}; extract or import them there too")
    pool = open_pool(study.store, split, cards, combine=study.query.combine or "mean_logits", cost=study.cost)
    require_counts(pool)
    return pool


def by_architecture(cards: Sequence[StoredCard]) -> dict[str, list[int]]:
    """{architecture: indices of its replicas, in order}."""
    members: dict[str, list[int]] = {}
    for index, card in enumerate(cards):
        members.setdefault(card.architecture, []).append(index)
    return members


def replica_ensembles(study: Study) -> ReplicaEnsembles:
    """Ensembles of 1 to MOST replicas of every architecture, on the split that reports, where there is one."""
    pool = reporting_pool(study)
    if pool.cost.per_unit is not None:
        raise UsageError(f"cost {study.cost!r} varies per unit; ensembles of small models need one cost per model")
    members = by_architecture(pool.cards)
    most = max(map(len, members.values()))
    if most < 2:
        raise AbsentError(
            "every architecture has one replica, so there is no ensemble of one; train more and name them b3/0, b3/1 "
            "(`wisecommittee train pool --replicas 8` does so for the digits pool)"
        )
    if len(members) < 2:
        raise AbsentError(f"{next(iter(members))} is the only architecture; smaller and larger ones are compared here")
    sets = {
        (name, k): draws(models, k) for name, models in members.items() for k in range(1, min(MOST, len(models)) + 1)
    }
    ensembles = {ensemble for drawn in sets.values() for ensemble in drawn}
    tables = tables_for(pool, ensembles, threads=study.threads, progress=study.progress)
    totals = tables.correct.totals()
    curves: dict[str, list[CurvePoint]] = {}
    for (name, k), drawn in sets.items():
        quality = [int(totals[node]) / (pool.task.scale * pool.units) for node in tables.nodes(drawn)]
        low, median, high = (float(q) for q in np.quantile(quality, (0.25, 0.5, 0.75)))
        together = pool.cost.of(drawn).worst(np.arange(len(drawn))[:, None])
        dearest = np.array([[pool.cost.worst(np.array([[m]]))[0] for m in ensemble] for ensemble in drawn]).max(axis=1)
        cost, parallel = (pool.cost.true(1) * float(np.median(values)) for values in (together, dearest))
        curves.setdefault(name, []).append(
            CurvePoint(name, k, len(drawn), median, low, high, min(quality), max(quality), cost, parallel)
        )
    ordered = sorted(map(tuple, curves.values()), key=lambda curve: (curve[0].cost, curve[0].architecture))
    return ReplicaEnsembles(pool.split, pool.units, study.cost, tuple(ordered))


def draws(models: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """All sets of this size, or DRAWS different ones at random (seeded)."""
    if math.comb(len(models), size) <= DRAWS:
        return list(combinations(models, size))
    rng = np.random.default_rng(SEED)
    subsets: set[tuple[int, ...]] = set()
    while len(subsets) < DRAWS:
        subsets.add(tuple(sorted(int(m) for m in rng.choice(models, size, replace=False))))
    return sorted(subsets)
