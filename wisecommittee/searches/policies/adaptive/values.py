"""The value of going on from every set of members, at several prices of cost, by backward induction.

At price p, V(S, x) = max(value of stopping, max over m of E[V(S + m) | x] - p * cost of m after S). The expectation is
a ridge regression on features of the posterior after S. The value of stopping is the largest probability, corrected by
a ridge regression of how often such answers are right: a posterior may be too sure after one set and not after another.
A unit's decisions come from regressions on the units of other folds, and the target of the sets before is the value
that followed from the decision, not the estimate that led to it: the largest of several estimates would be too high (as
in Longstaff and Schwartz 2001, Valuing American options by simulation, Sec. 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import EXIT, Route, extended
from wisecommittee.committees.posterior import STOPPING, Floats, value_features
from wisecommittee.searches.policies.adaptive.states import FOLDS, Fitted

RIDGE = 10.0
STOPPING_RIDGE = 30.0
Steps = Mapping[Route, Mapping[int, float]]  # {set: {next member: its mean cost after the set}}


@dataclass(frozen=True, slots=True)
class Valued:
    """The values of going on, and what follows from them for the units that were fitted, held out.

    Parameters
    ----------
    weights : {set: {next member: float64 [P, d]}}
        Of the features of the value of going on, its cost at each price taken off.
    stopping : {set: float64 [STOPPING]}
        Of the first features: what the value of stopping exceeds the largest probability by.
    going : {set: int8 [P, N]}
        The member that each unit asks next, EXIT if none.
    first : list of int
        The first member, at each price.
    by_answer : bool
        As of value_features.
    """

    weights: Mapping[Route, Mapping[int, Floats]]
    stopping: Mapping[Route, Floats]
    going: Mapping[Route, NDArray[np.int8]]
    first: list[int]
    by_answer: bool


def valued(
    states: Mapping[Route, Fitted], steps: Steps, prices: Floats, folds: NDArray[np.int64], *, by_answer: bool
) -> Valued:
    """The values of going on from every set.

    states : with every set that `steps` leads to; steps : with the empty set; prices : [P] quality per cost
    """
    following_value: dict[Route, NDArray[np.float32]] = {}
    weights: dict[Route, dict[int, Floats]] = {}
    stopping: dict[Route, Floats] = {}
    going: dict[Route, NDArray[np.int8]] = {}
    for route in sorted(states, key=len, reverse=True):
        state, ahead = states[route], steps.get(route, {})
        stop = state.stopping
        features = value_features(state.held_out.astype(np.float64), state.evidence, by_answer=by_answer)
        too_low = (state.right - stop)[None, None].astype(np.float32)
        corrected, correction = _regressed(features[:STOPPING], too_low, folds, STOPPING_RIDGE)
        stopping[route], stop = corrected[0, 0], stop + correction[0, 0]
        value, decided = np.repeat(stop[None], len(prices), axis=0), np.full((len(prices), len(stop)), EXIT, np.int8)
        if ahead:
            targets = np.stack([following_value[extended(route, m, unordered=True)] for m in ahead])
            charged = prices[:, None] * np.array(list(ahead.values()))  # [P, A]
            fitted, estimates = _regressed(features, targets, folds, RIDGE)
            fitted[:, :, 0] -= charged.T
            estimates -= charged.T[:, :, None]
            best = estimates.argmax(axis=0)
            on = np.take_along_axis(estimates, best[None], axis=0)[0] > stop
            decided[on] = np.array(list(ahead), np.int8)[best[on]]
            realised = np.take_along_axis(targets, best[None], axis=0)[0] - np.take_along_axis(charged, best, axis=1)
            value[on] = realised[on]
            weights[route] = dict(zip(ahead, fitted, strict=True))
        following_value[route], going[route] = value.astype(np.float32), decided
    starts = list(steps[()])
    worth = [following_value[(m,)].mean(axis=1, dtype=np.float64) - prices * steps[()][m] for m in starts]
    return Valued(weights, stopping, going, [starts[best] for best in np.argmax(worth, axis=0)], by_answer)


def _regressed(
    features: Floats, targets: NDArray[np.float32], folds: NDArray[np.int64], ridge: float
) -> tuple[Floats, NDArray[np.float32]]:
    """Ridge regressions of targets [A, P, N] on features [d, N].

    Returns weights [A, P, d] of all units, and estimates float32 [A, P, N] of every unit without its fold.
    """
    size, flat = len(features), targets.reshape(-1, targets.shape[-1])
    rows = features.astype(np.float32)
    penalty = np.full(size, ridge)
    penalty[0] = 1e-6  # the constant
    held = [np.flatnonzero(folds == fold) for fold in range(FOLDS)]
    grams = [(rows[:, h] @ rows[:, h].T).astype(np.float64) for h in held]
    sides = [(rows[:, h] @ flat[:, h].T).astype(np.float64) for h in held]
    gram, side = sum(grams) + np.diag(penalty), sum(sides)
    estimates = np.empty_like(flat)
    for h, here, there in zip(held, grams, sides, strict=True):
        without = np.linalg.solve(gram - here, side - there)
        estimates[:, h] = without.T.astype(np.float32) @ rows[:, h]
    weights = np.linalg.solve(gram, side).T
    return weights.reshape(*targets.shape[:2], size), estimates.reshape(targets.shape)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Figures of the policy at a price, every unit decided and answered by what was fitted without its fold.

    cost : mean cost; quality : share of units that are right; visits : {set: number of units that have run it}
    """

    cost: float
    quality: float
    visits: Mapping[Route, int]


def held_out(states: Mapping[Route, Fitted], steps: Steps, values: Valued, price: int) -> HeldOut:
    """The figures at a price, by its number."""
    first = values.first[price]
    units = len(states[(first,)].right)
    waiting: dict[Route, NDArray[np.int64]] = {(first,): np.arange(units)}
    total, right, visits = units * steps[()][first], 0, {}
    while waiting:
        route = min(waiting, key=len)
        rows = waiting.pop(route)
        visits[route] = len(rows)
        going = values.going[route][price, rows]
        right += int(states[route].right[rows[going == EXIT]].sum())
        for member, cost in steps.get(route, {}).items():
            if len(onward := rows[going == member]):
                ahead = extended(route, member, unordered=True)
                waiting[ahead] = np.concatenate([waiting[ahead], onward]) if ahead in waiting else onward
                total += len(onward) * cost
    return HeldOut(total / units, right / units, visits)
