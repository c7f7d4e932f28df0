"""Chains of models that join a committee in a fixed order, and all sequences of stages over several chains.

The replicas of an architecture join one by one. Several members of a group (leaves of a hierarchical neural ensemble,
steps of IRENE) may join at once: such a tier runs as one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Chain:
    """Models that join a committee in a fixed order.

    members : models in that order; moves : (a, b) for every stage that raises the number of members in use from a to b.
    """

    members: tuple[int, ...]
    moves: tuple[tuple[int, int], ...]

    @classmethod
    def single_file(cls, members: tuple[int, ...]) -> Chain:
        """A chain of which every stage adds one member."""
        return cls(members, tuple((a, a + 1) for a in range(len(members))))

    @classmethod
    def leaping(cls, members: tuple[int, ...], stops: Sequence[int]) -> Chain:
        """A stage leads from 0 members, or a number in `stops`, to any larger number in `stops`."""
        return cls(members, tuple((a, b) for a in (0, *stops) for b in stops if a < b))

    @classmethod
    def once(cls, members: tuple[int, ...], stops: Sequence[int]) -> Chain:
        """One stage adds a number of members in `stops`; no other stage adds members of this chain."""
        return cls(members, tuple((0, b) for b in stops))


@dataclass(frozen=True, slots=True)
class Steps:
    """The tiers that one stage can add.

    tiers : tuples of models, first the M single models; chain : int64 [S] the chain of each tier; before, after : int64
    [S] members of the chain in use before and after the stage; before is -1 for single models that no stage adds.
    """

    tiers: tuple[tuple[int, ...], ...]
    chain: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def steps(chains: Sequence[Chain], models: int) -> Steps:
    """Every tier that a stage can add by these chains of M models: single models, then tiers in lexicographic order."""
    moves = {chain.members[a:b]: (c, a, b) for c, chain in enumerate(chains) for a, b in chain.moves}
    tiers = (*((m,) for m in range(models)), *sorted(tier for tier in moves if len(tier) > 1))
    table = np.array([moves.get(tier, (0, -1, -1)) for tier in tiers], dtype=np.int64).reshape(-1, 3)
    return Steps(tiers, *table.T)


def walks(chains: Sequence[Chain], models: int, size: int, *, ascending: bool = False) -> NDArray[np.int64]:
    """int64 [n, size]: all sequences of `size` stages, as indices into the tiers of `steps`, in lexicographic order.

    ascending : only sequences of rising indices, one for each set of tiers.
    """
    every = steps(chains, models)
    sequences = np.zeros((1, 0), dtype=np.int64)
    used = np.zeros((1, len(chains)), dtype=np.int16)  # members of each chain that are in use
    for stage in range(size):
        fits = used[:, every.chain] == every.before
        if ascending and stage:
            fits &= sequences[:, -1:] < np.arange(len(every.tiers))
        row, step = np.nonzero(fits)
        sequences = np.column_stack([sequences[row], step])
        if stage < size - 1:
            used = used[row]
            used[np.arange(len(row)), every.chain[step]] = every.after[step]
    return sequences
