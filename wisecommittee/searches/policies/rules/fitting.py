"""Rules of labels, fitted to units at a price of cost, over several trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.rules.fit import exits, fit_rules
from wisecommittee.kernels.rules.known import Routes, Scratch
from wisecommittee.searches.policies.rules.prices import Priced
from wisecommittee.searches.policies.rules.said import Said
from wisecommittee.searches.policies.rules.trees import Tree, price_ends


@dataclass(frozen=True, slots=True)
class Fitted:
    """Rules for every route of a tree and every label, and where units exit by them.

    Parameters
    ----------
    tree : Tree
    level, chosen : int32 [R, G + 1]
        The rules (kernels/rules).
    route : int32 [N]
        The route after which each unit exits.
    quality, cost : float64 [N]
    """

    tree: Tree
    level: NDArray[np.int32]
    chosen: NDArray[np.int32]
    route: NDArray[np.int32]
    quality: NDArray[np.float64]
    cost: NDArray[np.float64]


class Fitting:
    """Fits rules to the units of a pool.

    Parameters
    ----------
    said : Said
        After every route of the trees.
    trees : sequence of Tree
    rows : sequence of int32 [R]
        The rows of `said` after the routes of each tree; by default what `said.row` has.
    """

    def __init__(self, said: Said, trees: Sequence[Tree], rows: Sequence[NDArray[np.int32]] | None = None) -> None:
        self.said, self.trees = said, tuple(trees)
        rows = rows or [np.array([said.row[route] for route in tree.routes], np.int32) for tree in trees]
        self.rows = tuple(rows)
        self._routes = [Routes(row, tree.further, tree.cost) for row, tree in zip(rows, trees, strict=True)]
        routes, ways = (max(sizes) for sizes in zip(*(tree.further.shape for tree in trees), strict=True))
        self._scratch = Scratch.of(routes, ways, said.units)

    @property
    def ends(self) -> tuple[float, float]:
        return price_ends(self.trees, self.said.units)

    def best(self, price: float, shrinkage: float, weight: NDArray[np.float64] | None = None) -> Priced[Fitted]:
        """The tree whose rules are worth most at a price to the weighted units. weight : float64 [N], by default 1"""
        return self.ranked(price, shrinkage, weight)[0]

    def ranked(self, price: float, shrinkage: float, weight: NDArray[np.float64] | None = None) -> list[Priced[Fitted]]:
        """Every tree with its rules, from the best at a price down."""
        weight = np.ones(self.said.units) if weight is None else weight
        every = [self._priced(number, price, shrinkage, weight) for number in range(len(self.trees))]
        return sorted(every, key=lambda each: -each.at(price))

    def _priced(self, number: int, price: float, shrinkage: float, weight: NDArray[np.float64]) -> Priced[Fitted]:
        tree, routes, known = self.trees[number], self._routes[number], self.said.known
        level, chosen = (np.zeros((len(tree.routes), len(self.said.labels) + 1), np.int32) for _ in range(2))
        fit_rules(routes, known, float(price), weight, float(shrinkage), self._scratch, level, chosen)
        route, (quality, cost) = np.empty(self.said.units, np.int32), np.empty((2, self.said.units))
        exits(routes, known, level, chosen, route, quality, cost)
        total = weight.sum()
        return Priced(
            price,
            float((weight * quality).sum() / total),
            float((weight * cost).sum() / total),
            Fitted(tree, level, chosen, route, quality, cost),
        )
