"""Which combinations a search goes through: within the worst case, ranked in the order of ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.stages.pool import Pool, Tiers


@dataclass(frozen=True, slots=True)
class Candidates:
    """All sequences of `size` stages. sequences int64 [n, size] of tiers, ranks int64 [n] in the order of ties over all
    sizes."""

    size: int
    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]


def within_worst_case(pool: Pool, found: dict[int, NDArray[np.int64]], limit: float | None) -> list[Candidates]:
    """Drop what costs too much in the worst case, and rank the rest: fewer members, fewer stages, less worst case,
    names stage by stage."""
    kept: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    least = None
    for sequences in found.values():
        worst = pool.cost.worst(sequences)
        least = int(worst.min()) if least is None else min(least, int(worst.min()))
        if limit is not None:
            keep = worst <= pool.cost.ceiling(limit)
            sequences, worst = sequences[keep], worst[keep]
        if len(sequences):
            kept.append((sequences, worst))
    if not kept:
        assert least is not None
        assert limit is not None
        raise InfeasibleError(
            f"no committee costs at most {limit:.6g} {pool.cost.name} in the worst case; the cheapest model costs "
            f"{pool.cost.true(least):.6g}"
        )
    return _ranked(kept, pool.tiers)


def _ranked(kept: list[tuple[NDArray[np.int64], NDArray[np.int64]]], tiers: Tiers | None) -> list[Candidates]:
    """Candidates of these (sequences, worst cases), one pair for each number of stages, ascending."""
    if tiers is None:
        names = members = None
    else:
        names = np.argsort(sorted(range(len(tiers)), key=lambda step: tiers[step]))
        members = np.array([len(tier) for tier in tiers])
    out, counts = [], []
    for sequences, _ in kept:
        n, size = sequences.shape
        out.append(Candidates(size, sequences, np.empty(n, np.int64)))
        counts.append(np.full(n, size) if members is None else members[sequences].sum(axis=1))
    first = 0
    for count in sorted({int(c) for some in counts for c in np.unique(some)}):
        for (sequences, worst), some, candidates in zip(kept, counts, out, strict=True):
            at = np.flatnonzero(some == count)
            here = sequences[at] if names is None else names[sequences[at]]
            order = np.lexsort((*here.T[::-1], worst[at]))
            candidates.ranks[at[order]] = first + np.arange(len(at))
            first += len(at)
    return out
