"""The models of a large pool that a search tries together, and the sequences of them."""

from __future__ import annotations

import math

from wisecommittee.searches.policies.arrays import member_arrays
from wisecommittee.searches.policies.rules.trees import Planter, Tree
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.strategies.problem import Problem

MOST_SEQUENCES = 400  # of a length: three of eight models have 336, four of six 360


def considered(pool: Pool, most: int) -> tuple[int, ...]:
    """All models, or of a larger pool `most` models: the skyline of single models, then that of the rest, .."""
    every = tuple(range(len(pool.cards)))
    if len(every) <= most:
        return every
    alone = member_arrays(pool)
    cost, quality = alone.cost.mean(axis=1), alone.worth.mean(axis=1)
    rest, out = sorted(every, key=lambda m: (cost[m], -quality[m])), list[int]()
    while len(out) < most:
        layer = [m for n, m in enumerate(rest) if all(quality[m] > quality[other] for other in rest[:n])]
        out += layer[::-1]  # the best first
        rest = [m for m in rest if m not in layer]
    return tuple(sorted(out[:most]))


def sequences(problem: Problem, longest: int) -> list[Tree]:
    """The sequences of up to `longest` models that are tried: all of a small pool; of a larger one, for each length,
    those of as many models as have at most MOST_SEQUENCES."""
    planter, pool = Planter(problem), problem.pool
    sizes = range(1, min(longest, len(pool.cards)) + 1)
    return [chain for size in sizes for chain in planter.chains(considered(pool, _most(len(pool.cards), size)), size)]


def count_sequences(models: int, longest: int) -> int:
    """How many sequences are tried of a pool of so many models."""
    return sum(math.perm(_most(models, size), size) for size in range(1, min(longest, models) + 1))


def _most(models: int, size: int) -> int:
    """How many of the models are in sequences of this length."""
    return max((m for m in range(size, models + 1) if math.perm(m, size) <= MOST_SEQUENCES), default=size)
