"""Which combinations a search goes through: within the worst case, ranked in the order of ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.stages.pool import Pool

NOBODY = np.iinfo(np.int64).max  # behind the members of a tier


@dataclass(frozen=True, slots=True)
class Candidates:
    """All sequences of `size` stages. sequences int64 [n, size] of tiers, ranks int64 [n] in the order of ties over all
    sizes."""

    size: int
    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]


def within_worst_case(
    pool: Pool, by_size: dict[int, NDArray[np.int64]], limit: float | None, *, joint: bool = False
) -> list[Candidates]:
    """The sequences that cost at most `limit` in the worst case, ranked in the order of ties over all sizes.

    by_size : sequences int64 [n, size] of tiers, by size. joint : their tiers run together, as one stage
    """
    kept: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    least = None
    for sequences in by_size.values():
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
    longest = max(s.shape[1] for s, _ in kept)
    every = [np.pad(s, ((0, 0), (0, longest - s.shape[1])), constant_values=-1) for s, _ in kept]
    ties, worst = TieOrder.of(pool), np.concatenate([worst for _, worst in kept])
    order = (ties.argsort_joint if joint else ties.argsort)(np.concatenate(every), worst)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    stops = np.cumsum([len(s) for s, _ in kept])
    return [
        Candidates(s.shape[1], s, part) for (s, _), part in zip(kept, np.split(ranks, stops[:-1]), strict=True)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TieOrder:
    """Which of two committees with equal cost and quality is reported: the one with fewer members, fewer stages, less
    worst case, the first by names stage by stage.

    sizes : int64 [tiers + 1] members of each tier; names : int64 [tiers + 1] number of each tier in the order of names;
    members : int64 [tiers + 1, most] members of each tier, filled up with NOBODY. The last entries, 0, -1 and NOBODY,
    belong to index -1, which pads shorter sequences.
    """

    sizes: NDArray[np.int64]
    names: NDArray[np.int64]
    members: NDArray[np.int64]

    @classmethod
    def of(cls, pool: Pool) -> TieOrder:
        tiers = pool.tiers or tuple((m,) for m in range(len(pool.cards)))
        names = np.argsort(sorted(range(len(tiers)), key=lambda step: tiers[step]))
        most = max(map(len, tiers))
        members = [[*tier, *[NOBODY] * (most - len(tier))] for tier in (*tiers, ())]
        return cls(np.array([*map(len, tiers), 0]), np.append(names, -1), np.array(members, np.int64))

    def argsort(self, sequences: NDArray[np.int64], worst: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n]: indices of the sequences in the order of ties.

        sequences : int64 [n, longest] of tiers, filled up with -1; worst : int64 [n] worst-case cost of each
        """
        members, stages = self.sizes[sequences].sum(axis=1), (sequences >= 0).sum(axis=1)
        return np.lexsort((*self.names[sequences].T[::-1], worst, stages, members))

    def argsort_joint(self, sequences: NDArray[np.int64], worst: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `argsort`, of sequences whose tiers run together: they have one stage, and no order."""
        count, members = self.sizes[sequences].sum(axis=1), self.members[sequences]
        together = np.sort(members.reshape(len(sequences), -1), axis=1)
        return np.lexsort((*together.T[::-1], worst, count))


def filled_up(sequences: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """int64 [n, longest]: sequences of any lengths, with -1 behind the shorter ones."""
    longest = max(map(len, sequences))
    return np.array([[*sequence, *[-1] * (longest - len(sequence))] for sequence in sequences], np.int64)
