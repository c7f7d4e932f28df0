"""The trees that are worth fitting: of all members in a small pool, else of sets that grow one member at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from wisecommittee.searches.policies.labels.shrinkage import FIRST
from wisecommittee.searches.policies.rules.considered import considered
from wisecommittee.searches.policies.rules.findings import require_trees
from wisecommittee.searches.policies.rules.fitting import Fitting
from wisecommittee.searches.policies.rules.prices import sweep
from wisecommittee.searches.policies.rules.said import said_after
from wisecommittee.searches.policies.rules.trees import Members, Planter
from wisecommittee.searches.strategies.problem import Problem

MOST_MEMBERS = 4  # of a committee
MOST_MODELS = 16  # of a pool whose pairs are all tried
PRICES = 5  # at which trees are compared
KEPT = 2  # sets that grow, at each price
BEST = 2  # trees that are kept, at each price


def promising(problem: Problem) -> tuple[Fitting, list[float]]:
    """The trees that are among the best at some price, and the prices at which they are."""
    planter, size = Planter(problem), min(problem.max_models, MOST_MEMBERS)
    models = considered(problem.pool, MOST_MODELS)
    fitting = _fitting(problem, planter, combinations(models, min(2, size, len(models))))
    prices = [each.price for each in sweep(lambda price: fitting.best(price, FIRST), *fitting.ends, PRICES)]
    if 2 < len(models) <= size:
        fitting = _fitting(problem, planter, [models])
    elif 2 < size < len(models):
        fitting = _grown(problem, planter, fitting, prices, size, models)
    kept = {fitting.trees.index(each.found.tree) for p in prices for each in fitting.ranked(p, FIRST)[:BEST]}
    return Fitting(fitting.said, [fitting.trees[number] for number in sorted(kept)]), prices[1:-1]


def _fitting(problem: Problem, planter: Planter, sets: Iterable[Members]) -> Fitting:
    """All trees of these sets of models."""
    trees = {tree.routes: tree for members in sets for tree in planter.trees(members)}
    require_trees(problem, list(trees.values()))
    sequences = sorted({route for routes in trees for route in routes})
    said = said_after(problem.pool, sequences, threads=problem.execution.thread_count)
    return Fitting(said, list(trees.values()))


def _grown(
    problem: Problem, planter: Planter, fitting: Fitting, prices: Sequence[float], size: int, models: Sequence[int]
) -> Fitting:
    """The trees of sets that grow from pairs to `size` members, by a beam at each price."""
    among = dict.fromkeys(prices, fitting)
    for _ in range(2, size):
        larger = {}
        for price, smaller in among.items():
            best = list(dict.fromkeys(each.found.tree.members for each in smaller.ranked(price, FIRST)))[:KEPT]
            larger[price] = sorted({tuple(sorted({*members, m})) for members in best for m in models} - set(best))
        fitting = _fitting(problem, planter, sorted({members for sets in larger.values() for members in sets}))
        among = {
            price: Fitting(fitting.said, [tree for tree in fitting.trees if tree.members in set(sets)])
            for price, sets in larger.items()
        }
    kept = {each.found.tree.routes: each.found.tree for p, f in among.items() for each in f.ranked(p, FIRST)[:BEST]}
    return Fitting(fitting.said, list(kept.values()))
