"""Rules of trees of routes, against trying all rules on tiny tables, with ties everywhere."""

from __future__ import annotations

import naive_policies
import numpy as np
import pytest

from wisecommittee.kernels.rules.fit import exits, fit_rules
from wisecommittee.kernels.rules.known import Known, Routes, Scratch


def random_tree(rng, further, units, groups, ranks, varying):
    """(Routes, Known) of random units, with several routes to a row and a cost for each route or unit."""
    count = len(further)
    wide = np.full((count, max(map(len, further.values()))), -1, np.int32)
    for route, ways in further.items():
        wide[route, : len(ways)] = ways
    cost = np.cumsum(rng.integers(1, 4, (count, units if varying else 1)), axis=0).astype(float)
    rank = rng.integers(0, ranks, (count, units))
    rank = np.stack([np.unique(line, return_inverse=True)[1] for line in rank]).astype(np.int32)
    group = rng.integers(0, groups, (count, units)).astype(np.int32)
    quality = rng.integers(0, 2, (count, units)).astype(float)
    order = np.argsort(rank, axis=1, kind="stable").astype(np.int32)
    return Routes(np.arange(count, dtype=np.int32), wide, cost), Known(rank, group, order, quality)


def fitted(routes, known, groups, price, shrinkage, weight=None):
    """(level, chosen, value of each unit) by the kernels."""
    units = known.rank.shape[1]
    weight = np.ones(units) if weight is None else weight
    level, chosen = np.zeros((2, len(routes.row), groups + 1), np.int32)
    scratch = Scratch.of(*routes.further.shape, units)
    fit_rules(routes, known, price, weight, shrinkage, scratch, level, chosen)
    route, (quality, cost) = np.zeros(units, np.int32), np.zeros((2, units))
    exits(routes, known, level, chosen, route, quality, cost)
    for i in range(units):
        assert quality[i] == known.quality[routes.row[route[i]], i]
        assert cost[i] == routes.cost[route[i], i if routes.cost.shape[1] > 1 else 0]
    return level, chosen, quality - price * cost


def stops(routes, known, price):
    value = known.quality - price * routes.cost
    return {r: value[r].tolist() for r in range(len(routes.row))}


TWO = {0: (1,), 1: ()}
FORK = {0: (1, 2), 1: (), 2: ()}
THREE = {0: (1,), 1: (2,), 2: ()}


@pytest.mark.parametrize("further", [TWO, FORK])
@pytest.mark.parametrize("varying", [False, True])
def test_two_stages_are_exact(further, varying):
    """No vector of thresholds and following routes by label is worth more."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        groups = int(rng.integers(1, 4))
        routes, known = random_tree(rng, further, 7, groups, 3, varying)
        price = float(rng.choice([0.01, 0.1, 0.3]))
        _, _, value = fitted(routes, known, groups, price, 0.0)
        ranks, labels = ({r: x[r].tolist() for r in further} for x in (known.rank, known.group))
        best = naive_policies.best_total(further, ranks, labels, groups, stops(routes, known, price))
        assert value.sum() == pytest.approx(best, abs=1e-9)


def test_three_stages_come_close():
    """The ascent never passes the best of all rules, reaches it most often, and lacks little in sum."""
    rng = np.random.default_rng(2)
    reached, lacking, total = 0, 0.0, 0.0
    for _ in range(60):
        routes, known = random_tree(rng, THREE, 8, 2, 3, False)
        _, _, value = fitted(routes, known, 2, 0.1, 0.0)
        ranks, labels = ({r: x[r].tolist() for r in THREE} for x in (known.rank, known.group))
        best = naive_policies.best_total(THREE, ranks, labels, 2, stops(routes, known, 0.1))
        assert value.sum() <= best + 1e-9
        reached += value.sum() >= best - 1e-9
        lacking, total = lacking + best - value.sum(), total + best
    assert reached >= 40
    assert lacking <= 0.05 * total


@pytest.mark.parametrize("shrinkage", [0.5, 3.0, 40.0])
def test_shrinkage_counts_further_average_units(shrinkage):
    """Each group's rule is worth as much as the best that any level among its units, or the best common one, is."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        routes, known = random_tree(rng, FORK, 9, 3, 4, False)
        level, chosen, _ = fitted(routes, known, 3, 0.1, shrinkage)
        value = stops(routes, known, 0.1)
        rank, group = known.rank[0].tolist(), known.group[0].tolist()
        best = naive_policies.best_shrunk(rank, group, 3, value[0], {1: value[1], 2: value[2]}, shrinkage)

        def worth(g, level=level, chosen=chosen, value=value, rank=rank, group=group):
            taken = [value[0][i] if rank[i] >= level[0, g] else value[chosen[0, g]][i] for i in range(9)]
            return sum(x for i, x in enumerate(taken) if group[i] == g) + shrinkage / 9 * sum(taken)

        for g in range(3):
            assert worth(g) <= best[g] + 1e-9
            own = {rank[i] for i in range(9) if group[i] == g} | {level[0, 3] - 1, -1}
            among = [
                sum(value[0][i] if rank[i] >= t + 1 else value[way][i] for i in range(9) if group[i] == g)
                + shrinkage / 9 * sum(value[0][i] if rank[i] >= t + 1 else value[way][i] for i in range(9))
                for t in own
                for way in (1, 2)
            ]
            assert worth(g) == pytest.approx(max(among), abs=1e-9)


def test_groups_without_units_and_full_shrinkage_take_the_common_rule():
    rng = np.random.default_rng(4)
    for _ in range(30):
        routes, known = random_tree(rng, FORK, 12, 2, 4, False)
        level, chosen, _ = fitted(routes, known, 5, 0.1, 2.0)
        assert (level[0, 2:] == level[0, 5]).all()
        assert (chosen[0, 2:] == chosen[0, 5]).all()
        level, chosen, value = fitted(routes, known, 5, 0.1, np.inf)
        assert len(set(level[0])) == len(set(chosen[0])) == 1
        everyone = [0] * 12
        best = naive_policies.best_total(FORK, {0: known.rank[0].tolist()}, {0: everyone}, 1, stops(routes, known, 0.1))
        assert value.sum() == pytest.approx(best, abs=1e-9)


def test_units_without_weight_do_not_count():
    rng = np.random.default_rng(5)
    routes, known = random_tree(rng, FORK, 40, 3, 6, False)
    kept = rng.random(40) < 0.6
    level, chosen, _ = fitted(routes, known, 3, 0.1, 3.0, kept.astype(float))
    few = Known(*(x[:, kept] for x in known))
    few = few._replace(order=np.argsort(few.rank, axis=1, kind="stable").astype(np.int32))
    expected = fitted(routes, few, 3, 0.1, 3.0)
    assert level.tolist() == expected[0].tolist()
    assert chosen.tolist() == expected[1].tolist()
