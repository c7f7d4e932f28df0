"""Trees: the routes that units can take through a few members, one member a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.strategies.problem import Problem

Members = tuple[int, ...]  # models of a pool, in the order in which they run


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """All routes through some members that begin with the same one.

    Parameters
    ----------
    routes : tuple of tuples of int
        The models that have run; a route stands after the shorter route that it continues.
    further : int32 [R, F]
        The routes that continue each route; -1 fills the rest of a line.
    cost : float64 [R, N] or [R, 1]
        Cost of the models of each route together, in whole units of the pool's cost.
    """

    routes: tuple[Members, ...]
    further: NDArray[np.int32]
    cost: NDArray[np.float64]

    @property
    def members(self) -> Members:
        """All models, ascending."""
        return tuple(sorted({m for route in self.routes for m in route}))


class Planter:
    """Makes the trees of a problem, within its limit on the worst case.

    A replica, or a member of a group, runs only after those before it.
    """

    def __init__(self, problem: Problem) -> None:
        query, self.charges = problem.query, problem.pool.cost
        limit = query.max_worst_cost
        self.most = np.inf if limit is None else self.charges.ceiling(limit)
        assert problem.family.chains is not None
        chains = problem.family.chains(problem.cards, query.replicas)
        self.before = {m: set(chain.members[:k]) for chain in chains for k, m in enumerate(chain.members)}

    def trees(self, members: Sequence[int]) -> list[Tree]:
        """The trees of these members, one for each that can run first."""
        return [tree for m in sorted(members) if (tree := self._tree(m, sorted(set(members) - {m}))) is not None]

    def _tree(self, first: int, others: Sequence[int]) -> Tree | None:
        every = [(first, *rest) for size in range(len(others) + 1) for rest in permutations(others, size)]
        cost = {route: self._cost(route) for route in every if self._in_order(route)}
        kept = [route for route in cost if cost[route].max() <= self.most]
        place = {route: number for number, route in enumerate(kept)}
        further = np.full((len(kept), max(1, len(others))), -1, np.int32)
        for number, route in enumerate(kept):
            ways = [place[(*route, m)] for m in others if (*route, m) in place]
            further[number, : len(ways)] = ways
        return Tree(tuple(kept), further, np.stack([cost[route] for route in kept])) if kept else None

    def chains(self, models: Sequence[int], size: int) -> list[Tree]:
        """A tree for each sequence of `size` of these models, in which every stage is followed by the next."""
        every = [route for route in permutations(models, size) if self._in_order(route)]
        return [chain for route in every if (chain := self._chain(route)) is not None]

    def _chain(self, route: Members) -> Tree | None:
        prefixes = tuple(route[:size] for size in range(1, len(route) + 1))
        cost = [self._cost(prefix) for prefix in prefixes]
        further = np.arange(1, len(route) + 1, dtype=np.int32)[:, None]
        further[-1] = -1
        return Tree(prefixes, further, np.stack(cost)) if cost[-1].max() <= self.most else None

    def _in_order(self, route: Members) -> bool:
        return all(self.before.get(m, set()) <= set(route[:k]) for k, m in enumerate(route))

    def _cost(self, route: Members) -> NDArray[np.float64]:
        """float64 [N] or [1]"""
        return np.atleast_1d(self.charges.stages([[m] for m in route])[-1]).astype(np.float64)


def price_ends(trees: Sequence[Tree], units: int) -> tuple[float, float]:
    """A price at which cost decides between equals only, and one at which nothing is worth its cost."""
    costs = np.unique(np.concatenate([tree.cost.mean(axis=1) for tree in trees]))
    steps = np.diff(costs)
    return 0.5 / (units * max(costs[-1], 1.0)), 2 / (steps.min() if len(steps) else 1.0)
