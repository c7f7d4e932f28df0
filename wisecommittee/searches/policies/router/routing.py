"""Which of several cascades each unit should run, by estimates of their quality and cost from its features.

At a price, the value of a cascade for a unit is its quality minus the price times its cost. Quality and cost of every
cascade are regressed on the terms of the features, and a unit is sent to the cascade of the highest estimated value.
The penalty of the regression, and whether to route at all, are chosen by estimates for units that the fit did not see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.policies.router.regression import Matrix, Ridge, held_out

FOLDS = 5
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, np.inf)
MOST_PARTS = 8
LEAST_SHARE = 0.02  # of the units, that a cascade must be the best for to be a part
SURE = 1.0  # standard errors by which routing must beat the best cascade on units that the fit did not see


@dataclass(frozen=True, slots=True)
class Routing:
    """A rule that sends each unit to one of some cascades.

    price : quality that a unit of cost is worth. arms : the cascades, as their numbers. start : [P] and weights :
    [P, d] of the estimated value of each. gain : by how much its value exceeds that of the best cascade on units that
    the fit did not see, on average; error : standard error of the gain.
    """

    price: float
    arms: tuple[int, ...]
    start: Matrix
    weights: Matrix
    gain: float
    error: float


def routings(
    x: Matrix, quality: Matrix, cost: Matrix, prices: Sequence[float], *, fee: float = 0.0, seed: int = 0
) -> Iterator[Routing]:
    """The routings that are better than the best cascade, for each price at which there is one.

    Parameters
    ----------
    x : float64 [n, d]
        Terms of the features.
    quality, cost : float64 [n, A]
        Of each of A cascades for each unit; of equal values the cascade of the lowest number is taken.
    prices : sequence of float
    fee : float
        Cost of routing a unit.
    seed : int
        Of the folds.

    Yields
    ------
    Routing
    """
    units, arms = quality.shape
    if units < 2 * FOLDS or arms < 2 or not x.shape[1]:
        return
    targets = np.hstack([quality, cost])
    folds = np.random.default_rng(seed).permutation(units) % FOLDS
    fits = [Ridge.of(x[folds != fold], targets[folds != fold]) for fold in range(FOLDS)]
    errors = np.array([_errors(held_out(x, folds, fits, penalty) - targets, arms) for penalty in PENALTIES])
    whole, estimates = Ridge.of(x, targets), {}
    for price in prices:
        penalty = PENALTIES[int(np.argmin(errors @ np.array([1.0, -2 * price, price**2])))]
        if np.isinf(penalty):
            continue
        if penalty not in estimates:
            estimates[penalty] = held_out(x, folds, fits, penalty)
        value = quality - price * cost
        estimated = estimates[penalty][:, :arms] - price * estimates[penalty][:, arms:]
        plain = np.array([(fit.mean[:arms] - price * fit.mean[arms:]).argmax() for fit in fits])[folds]
        parts = _parts(estimated)
        routed = parts[estimated[:, parts].argmax(axis=1)]
        rows = np.arange(units)
        gains = value[rows, routed] - value[rows, plain] - price * fee
        gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(units))
        if len(parts) > 1 and gain > SURE * error:
            start, weights = whole.weights(penalty)
            yield Routing(
                price,
                tuple(parts.tolist()),
                (start[:arms] - price * start[arms:])[parts],
                (weights[:, :arms] - price * weights[:, arms:]).T[parts],
                gain,
                error,
            )


def _parts(estimated: Matrix) -> NDArray[np.int64]:
    """The cascades that are the best for enough units, ascending."""
    counts = np.bincount(estimated.argmax(axis=1), minlength=estimated.shape[1])
    most = np.argsort(-counts, kind="stable")[:MOST_PARTS]
    return np.sort(most[counts[most] >= LEAST_SHARE * len(estimated)])


def _errors(residuals: Matrix, arms: int) -> list[float]:
    """Sums of squares and products of the residuals of quality and cost, each minus its mean over the cascades: what
    all cascades have in common routes no unit."""
    quality, cost = residuals[:, :arms], residuals[:, arms:]
    quality = quality - quality.mean(axis=1, keepdims=True)
    cost = cost - cost.mean(axis=1, keepdims=True)
    return [float((quality**2).sum()), float((quality * cost).sum()), float((cost**2).sum())]
