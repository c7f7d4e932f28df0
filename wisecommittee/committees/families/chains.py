"""Chains: models that join a committee in a fixed order, and all walks over several of them.

The replicas of an architecture join one by one. Of a group (leaves of a hierarchical neural ensemble, steps of IRENE)
several members may join at once: such a tier runs as one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Chain:
    """members : models in the order they join. moves : members in use (before, after) every stage that is allowed."""

    members: tuple[int, ...]
    moves: tuple[tuple[int, int], ...]

    @classmethod
    def single_file(cls, members: tuple[int, ...]) -> Chain:
        """One member a stage."""
        return cls(members, tuple((a, a + 1) for a in range(len(members))))

    @classmethod
    def leaping(cls, members: tuple[int, ...], stops: Sequence[int]) -> Chain:
        """From each number of members in `stops` (and none) to any larger one."""
        return cls(members, tuple((a, b) for a in (0, *stops) for b in stops if a < b))

    @classmethod
    def once(cls, members: tuple[int, ...], stops: Sequence[int]) -> Chain:
        """A number of members in `stops`, all in one stage."""
        return cls(members, tuple((0, b) for b in stops))


@dataclass(frozen=True, slots=True)
class Steps:
    """What one stage can add. tiers : tuples of models, the first M the models themselves.

    chain, before, after : int64 [S] the chain a tier belongs to and its members in use before and after it; before is
    -1 where no stage adds it.
    """

    tiers: tuple[tuple[int, ...], ...]
    chain: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def steps(chains: Sequence[Chain], models: int) -> Steps:
    """Every stage these chains of M models allow: single models first, then tiers in lexicographic order."""
    moves = {chain.members[a:b]: (c, a, b) for c, chain in enumerate(chains) for a, b in chain.moves}
    tiers = (*((m,) for m in range(models)), *sorted(tier for tier in moves if len(tier) > 1))
    table = np.array([moves.get(tier, (0, -1, -1)) for tier in tiers], dtype=np.int64).reshape(-1, 3)
    return Steps(tiers, *table.T)


def walks(chains: Sequence[Chain], models: int, size: int, *, ascending: bool = False) -> NDArray[np.int64]:
    """int64 [n, size]: all sequences of `size` stages, as indices into the tiers of `steps`, in lexicographic order.

    ascending : only those with rising indices, one for each set (where chains join in ascending order).
    """
    every = steps(chains, models)
    sequences = np.zeros((1, 0), dtype=np.int64)
    used = np.zeros((1, len(chains)), dtype=np.int16)  # members in use of each chain
    for place in range(size):
        fits = used[:, every.chain] == every.before
        if ascending and place:
            fits &= sequences[:, -1:] < np.arange(len(every.tiers))
        row, step = np.nonzero(fits)
        sequences = np.column_stack([sequences[row], step])
        if place < size - 1:
            used = used[row]
            used[np.arange(len(row)), every.chain[step]] = every.after[step]
    return sequences
