"""From fitted rules to the committee that they make."""

from __future__ import annotations

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import ALWAYS
from wisecommittee.kernels.rules.known import NEVER
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.rules.fitting import Fitted
from wisecommittee.searches.policies.rules.said import Said, threshold
from wisecommittee.searches.stages.pool import Pool

Rule = tuple[float | None, float | None, int]  # threshold, log-odds, route that follows


def build(pool: Pool, said: Said, fitted: Fitted) -> Committee:
    """The committee of these rules; it exits where they do.

    Labels of which all rules are those of the last column are left out.
    """
    tree, lines = fitted.tree, _lines(said, fitted)
    used = dict.fromkeys(m for number in lines for m in tree.routes[number])
    used |= dict.fromkeys(tree.routes[way][-1] for line in lines.values() for value, _, way in line if value != ALWAYS)
    stages = list(used) or list(tree.routes[0])
    own = [g for g in range(len(said.labels)) if any(line[g] != line[-1] for line in lines.values())]
    columns = [*own, len(said.labels)]
    policy = Labels(
        labels=tuple(said.labels[own].tolist()),
        after=tuple(tuple(map(stages.index, tree.routes[number])) for number in lines),
        thresholds=tuple(tuple(line[g][0] for g in columns) for line in lines.values()),
        following=tuple(tuple(stages.index(tree.routes[line[g][2]][-1]) for g in columns) for line in lines.values()),
        log_odds=_filled(tuple(tuple(line[g][1] for g in columns) for line in lines.values())),
    )
    return committee_of(pool, [[m] for m in stages], policy if lines else Thresholds())


def _filled(odds: tuple[tuple[float | None, ...], ...]) -> tuple[tuple[float | None, ...], ...]:
    return odds if any(number is not None for line in odds for number in line) else ()


def _lines(said: Said, fitted: Fitted) -> dict[int, list[Rule]]:
    """{route: rules of every label, and of all others}, of the routes that the rules lead to and that units may leave
    for another stage."""
    tree, out, waiting = fitted.tree, dict[int, list[Rule]](), [0]
    while waiting:
        number = waiting.pop()
        level, chosen = fitted.level[number], fitted.chosen[number]
        if tree.further[number, 0] < 0:
            continue
        route = tree.routes[number]
        passing = [r for r, longer in enumerate(tree.routes) if longer[: len(route)] == route]
        reached = np.isin(fitted.route, passing)
        row = said.row[route]
        common = (*threshold(said, row, reached, level[-1]), int(chosen[-1]))
        group, rules = said.known.group[row], list[Rule]()
        for g in range(len(said.labels)):
            units = reached & (group == g)
            if (level[g], chosen[g]) == (level[-1], chosen[-1]) and not (said.known.rank[row][units] == NEVER).any():
                rules.append(common)
            else:
                rules.append((*threshold(said, row, units, level[g]), int(chosen[g])))
        leading = [way for value, _, way in (*rules, common) if value != ALWAYS]
        if not leading:
            continue
        out[number] = [(value, odds, way if value != ALWAYS else leading[0]) for value, odds, way in (*rules, common)]
        waiting += sorted(set(leading), reverse=True)
    return out
