"""The prices of a sweep, and the policy of each price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.adaptive import Adaptive
from wisecommittee.committees.policies.adaptive_states import KnownState
from wisecommittee.committees.policy import Route, extended
from wisecommittee.committees.posterior import Floats
from wisecommittee.searches.policies.adaptive.states import Fitted, Said
from wisecommittee.searches.policies.adaptive.values import HeldOut, Steps, Valued, held_out, valued

COARSE, FINE = 28, 32  # prices of the first and of the second sweep
LEAST_GAIN = 1e-4  # of quality, for which the dearest set is still worth its cost at the least price
RARE = 0.001  # share of the units below which a set of members is left out of a policy


def swept(
    states: Mapping[Route, Fitted], steps: Steps, folds: NDArray[np.int64], *, by_answer: bool
) -> tuple[Valued, list[HeldOut]]:
    """The values at prices whose policies cover the range of costs, and the held-out figures of each price.

    A coarse sweep over all prices that can matter finds how the held-out cost falls with the price; the prices of the
    second are spread evenly in cost and in its logarithm, up to the cost of the best held-out quality.
    """
    prices = _coarse(steps)
    coarse = valued(states, steps, prices, folds, by_answer=by_answer)
    figures = [held_out(states, steps, coarse, price) for price in range(len(prices))]
    prices = _fine(prices, figures)
    values = valued(states, steps, prices, folds, by_answer=by_answer)
    return values, [held_out(states, steps, values, price) for price in range(len(prices))]


def _coarse(steps: Steps) -> Floats:
    """Falling prices, from one at which no answer is worth the cheapest step to one at which LEAST_GAIN is worth all
    steps."""
    costs = np.array([cost for ahead in steps.values() for cost in ahead.values()])
    if not (costs > 0).any():
        return np.zeros(1)
    return np.geomspace(1 / costs[costs > 0].min(), LEAST_GAIN / costs.max(), COARSE)


def _fine(prices: Floats, figures: Sequence[HeldOut]) -> Floats:
    best = max(range(len(figures)), key=lambda number: figures[number].quality)
    costs = np.maximum.accumulate([each.cost for each in figures[: best + 1]])
    if len(costs) < 2 or costs[-1] == costs[0]:
        return prices[: best + 1]
    low = max(float(costs[0]), float(costs[-1]) / 1000)
    targets = np.concatenate(
        [np.linspace(costs[0], costs[-1], FINE // 2), np.geomspace(low, costs[-1], FINE // 2, endpoint=False)]
    )
    distinct, at = np.unique(costs, return_index=True)
    return np.unique(np.exp(np.interp(targets, distinct, np.log(prices[at]))))[::-1]


def policy_of(
    said: Said, states: Mapping[Route, Fitted], steps: Steps, values: Valued, price: int, figures: HeldOut
) -> tuple[list[int], Adaptive]:
    """The members of a price, ascending, and their policy, without sets of members that hardly any unit asks.

    steps : {set: {next member: cost}}; figures : the held-out figures of the price
    """
    units = len(states[values.first[price],].right)
    often = {route for route, visits in figures.visits.items() if visits >= RARE * units}
    kept: list[Route] = [(values.first[price],)]
    ahead: dict[Route, list[int]] = {}
    for route in kept:
        onward = {m: extended(route, m, unordered=True) for m in values.weights.get(route, {})}
        ahead[route] = [m for m, after in onward.items() if after in often]
        kept += [onward[m] for m in ahead[route] if onward[m] not in kept]
    members = sorted({m for route in kept for m in route})
    stage = {m: number for number, m in enumerate(members)}
    known = [
        KnownState(
            tuple(stage[m] for m in route),
            states[route].posterior,
            values.stopping[route],
            tuple((stage[m], values.weights[route][m][price]) for m in ahead[route]),
        )
        for route in sorted(kept)
    ]
    ranks = tuple({"score": _numbers(said.ranks[m][0]), "rank": _numbers(said.ranks[m][1])} for m in members)
    written = tuple(each.to_json() for each in known)
    return members, Adaptive(tuple(said.labels), tuple(said.others), ranks, written, values.by_answer)


def _numbers(array: Floats) -> tuple[float, ...]:
    return tuple(array.tolist())
