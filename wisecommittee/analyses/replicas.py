"""Spread over replicas of one architecture (Wang et al. 2022, Table 17).

Singles, pairs as ensembles and ordered pairs as cascades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.sequences import GivenSequences, cheapest

LEAST = 3


@dataclass(frozen=True, slots=True)
class ReplicaSpread:
    """Statistics over `count` committees; std divides by count, because these are all committees and not a sample."""

    count: int
    most: float
    least: float
    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> ReplicaSpread:
        v = np.array(values)
        return cls(len(v), float(v.max()), float(v.min()), float(v.mean()), float(v.std()))


@dataclass(frozen=True, slots=True)
class ArchitectureReplicas:
    """The committees of one architecture on one split."""

    architecture: str
    split: str
    singles: tuple[Evaluation, ...]
    ensembles: tuple[Evaluation, ...]
    cascades: tuple[Evaluation, ...]


def replicas(study: Study) -> tuple[ArchitectureReplicas, ...]:
    """The replicas of every architecture with at least 3, first on the split that chooses, then on the reporting split.

    The threshold of a cascade is the one of least average cost at which the cascade is as accurate, on the split that
    chooses, as its two members together.
    """
    members: dict[str, list[StoredCard]] = {}
    for card in study.cards():
        members.setdefault(card.architecture, []).append(card)
    enough = {name: cards for name, cards in members.items() if len(cards) >= LEAST}
    if not enough:
        name, most = max(((name, len(cards)) for name, cards in members.items()), key=lambda known: known[1])
        numbered = ", ".join(f"{name}/{number}" for number in range(LEAST))
        raise AbsentError(
            f"the statistics over replicas need {LEAST} of an architecture, this pool has {most} at most; train more "
            f"and name them {numbered} (`wisecommittee train pool --replicas 8` does so for the digits pool)"
        )
    pool = study.pool()
    out = []
    groups = [[pool.index(card.model) for card in cards] for cards in enough.values()]
    groups.sort(key=lambda indices: int(pool.cost.worst(np.array([indices[:1]]))[0]))
    for done, indices in enumerate(groups):
        name = pool.cards[indices[0]].architecture
        ordered = list(permutations(indices, 2))
        given = GivenSequences(pool, ordered, threads=study.threads)
        singles = [given.ensemble((m,)) for m in indices]
        together = {pair: given.ensemble(pair) for pair in combinations(sorted(indices), 2)}
        cascades = []
        for pair in ordered:
            ensemble = together[min(pair), max(pair)]
            cascades.append(cheapest(given.frontier([pair], study.query.levels), ensemble.quality) or ensemble)
        chosen = [*singles, *together.values(), *cascades]
        for evaluations in filter(None, (chosen, study.reported(chosen))):
            a, b = len(singles), len(singles) + len(together)
            parts = (tuple(evaluations[:a]), tuple(evaluations[a:b]), tuple(evaluations[b:]))
            out.append(ArchitectureReplicas(name, evaluations[0].split, *parts))
        if study.progress:
            study.progress("replicas", done + 1, len(enough))
    return tuple(out)
