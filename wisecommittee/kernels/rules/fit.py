"""The best rules at a price, and where units exit by them."""

from __future__ import annotations

import numpy as np

from wisecommittee.kernels.jit import njit_exact, njit_inner
from wisecommittee.kernels.simd.arrays import zeros

ROUNDS = 3  # of the ascent, at most; a later one would change next to nothing


@njit_exact
def fit_rules(routes, known, price, weight, shrinkage, scratch, level, chosen):
    """Maximise the sum over units of weight * (quality - price * cost), by the rules of one route after the other.

    The step of a route is exact for the rules of all other routes, in one pass over the sorted units. A route that no
    unit reaches keeps rules that suit all units.

    weight : float64 [N]
    shrinkage : each group's sum also counts so many units that are like the average of all units that reach the route;
    infinity makes the rules of all groups equal
    level, chosen : int32 [R, G + 1], filled: the rules; column G is the rule of a group without units
    """
    stop, value, mass, _, _ = scratch
    count, units, varies = routes.row.size, weight.size, routes.cost.shape[1] > 1
    for r in range(count):
        quality = known.quality[routes.row[r]]
        for i in range(units):
            stop[r, i] = quality[i] - price * routes.cost[r, i if varies else 0]
            value[r, i], mass[r, i] = stop[r, i], weight[i]
    before = -np.inf
    for _ in range(ROUNDS):
        for r in range(count - 1, -1, -1):
            if routes.further[r, 0] >= 0:
                _fit_route(routes, known, shrinkage, scratch, r, level[r], chosen[r])
                rank, group = known.rank[routes.row[r]], known.group[routes.row[r]]
                for i in range(units):
                    g = group[i]
                    value[r, i] = stop[r, i] if rank[i] >= level[r, g] else value[chosen[r, g], i]
        total = 0.0
        for i in range(units):
            total += weight[i] * value[0, i]
        if total <= before:
            break
        before = total
        mass[1:] = 0.0
        for i in range(units):
            r = _following(routes, known, level, chosen, 0, i)
            while r >= 0:
                mass[r, i] = weight[i]
                r = _following(routes, known, level, chosen, r, i)


@njit_exact
def exits(routes, known, level, chosen, route, quality, cost):
    """Where units exit by these rules. route : int32 [N], quality, cost : float64 [N], filled"""
    varies = routes.cost.shape[1] > 1
    for i in range(route.size):
        r = 0
        while r >= 0:
            route[i] = r
            r = _following(routes, known, level, chosen, r, i)
        quality[i] = known.quality[routes.row[route[i]], i]
        cost[i] = routes.cost[route[i], i if varies else 0]


@njit_inner
def _following(routes, known, level, chosen, r, i):
    """The route that unit i runs after route r; -1 if it exits."""
    row = routes.row[r]
    g = known.group[row, i]
    return -1 if routes.further[r, 0] < 0 or known.rank[row, i] >= level[r, g] else chosen[r, g]


@njit_inner
def _fit_route(routes, known, shrinkage, scratch, r, level, chosen):
    """The best rules of route r, by a level that rises through the ranks of its units."""
    further, row = routes.further[r], routes.row[r]
    rank, group, order = known.rank[row], known.group[row], known.order[row]
    stop, mass, gain, active = scratch.stop[r], scratch.mass[r], scratch.gain, scratch.active
    groups, ways, units, every = level.size - 1, 0, 0, 0.0
    while ways < further.size and further[ways] >= 0:
        value = scratch.value[further[ways]]
        for i in range(order.size):
            gain[ways, i] = mass[i] * (value[i] - stop[i])  # over an exit
        ways += 1
    for i in order:
        active[units] = i
        units += mass[i] > 0
        every += mass[i]
    if units == 0:
        return
    pull = 0.0 if shrinkage == np.inf else shrinkage / every
    total = zeros((groups + 1, ways), np.float64)  # gain of each group and of all, if the units below the level go on
    best = zeros(groups + 1, np.float64)
    level[:] = 0
    chosen[:] = further[0]
    start = 0
    while start < units and rank[active[start]] < 0:  # units that go on in any case: the gain of the level 0
        i = active[start]
        for m in range(ways):
            total[group[i], m] += gain[m, i]
            total[groups, m] += gain[m, i]
        start += 1
    if start:
        for g in range(groups + 1):
            best[g] = -np.inf
            for m in range(ways):
                v = total[g, m] + (pull * total[groups, m] if g < groups else 0.0)
                if v > best[g]:
                    best[g], chosen[g] = v, further[m]
    while start < units:
        end, here = start, rank[active[start]]
        while end < units and rank[active[end]] == here:
            i = active[end]
            for m in range(ways):
                total[group[i], m] += gain[m, i]
                total[groups, m] += gain[m, i]
            end += 1
        for m in range(ways):
            if total[groups, m] > best[groups]:
                best[groups], level[groups], chosen[groups] = total[groups, m], here + 1, further[m]
        for j in range(start, end):
            g = group[active[j]]
            for m in range(ways):
                v = total[g, m] + pull * total[groups, m]
                if v > best[g]:
                    best[g], level[g], chosen[g] = v, here + 1, further[m]
        start = end
    if shrinkage > 0:
        value = scratch.value[chosen[groups]]
        _share(rank, group, active[:units], stop, mass, value, shrinkage, pull, best, level, chosen)


@njit_inner
def _share(rank, group, active, stop, mass, value, shrinkage, pull, best, level, chosen):
    """Give the rule that is best for all units to every group for which it is as good as the group's best."""
    groups = level.size - 1
    total = zeros(groups, np.float64)
    for i in active:
        if rank[i] >= level[groups]:
            break
        total[group[i]] += mass[i] * (value[i] - stop[i])
    for g in range(groups):
        if shrinkage == np.inf or total[g] + pull * best[groups] >= best[g]:
            level[g], chosen[g] = level[groups], chosen[groups]
