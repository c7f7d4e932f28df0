"""Temperature scaling (Guo et al. 2017): the T of softmax(z / T) with the least mean negative log-likelihood (NLL)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import FOLDS
from wisecommittee.searches.calibration.fit_data import FitData, MapFits

TEMPERATURES = (1e-3, 1e3)  # ends of the search for T
CLOSE = 1e-6  # last relative step of 1 / T: the next step of Newton's method would be about its square
CLOSE_FOLD = 1e-3  # the same for the fit without a fold
ZERO = float(np.log(2.0**-23))  # log-probability of a label of probability 0 in a fit: a float32 step below 1


def fit_temperature(data: FitData, folds: NDArray[np.int8]) -> MapFits:
    """Minimise the mean NLL over beta = 1 / T, in which it is convex.

    A label of probability 0 counts as probability 2^-23, a float32 step below 1: at -87 nats, one such unit would
    outweigh hundreds. Where no temperature is best, the model stays as it is: T = 1.
    """
    floor = ZERO if data.card.kind == "probabilities" else -math.inf

    def sums(betas: Mapping[int, float]) -> dict[int, tuple[float, float]]:
        """{group: (slope, curvature)} of the NLL summed over the units without fold `group`, -1 for all units."""

        def block(units: slice) -> list[tuple[float, float]]:
            rows, labels = data.rows(units), data.labels[units].astype(np.int64)
            rows -= rows.max(axis=1, keepdims=True)
            out = []
            for group, beta in betas.items():
                kept = folds[units] != group
                z, y = (rows, labels) if kept.all() else (rows[kept], labels[kept])
                e = np.exp(z * beta)
                mass = e.sum(axis=1)
                mean = np.einsum("nc,nc->n", e, z) / mass
                e *= z
                square = np.einsum("nc,nc->n", e, z) / mass
                slope = mean - np.maximum(z[np.arange(len(z)), y], floor)
                out.append((float(slope.sum()), float((square - mean**2).sum())))
            return out

        parts = list(data.over_blocks(block))
        return {
            group: (math.fsum(p[i][0] for p in parts), math.fsum(p[i][1] for p in parts))
            for i, group in enumerate(betas)
        }

    beta_of_all = minimise(sums, {-1: 1.0})[-1]
    by_fold = minimise(sums, dict.fromkeys(range(FOLDS), beta_of_all), CLOSE_FOLD)
    bounds = {1 / t: t for t in TEMPERATURES}
    note = None
    if beta_of_all in bounds:
        side = "every unit is right by a margin" if bounds[beta_of_all] < 1 else "labels do not follow the logits"
        note = (
            f"no temperature is best, T reaches the bound {bounds[beta_of_all]:g} of its range ({side}): kept as it "
            f"is, T = 1"
        )
        beta_of_all, by_fold = 1.0, dict.fromkeys(by_fold, 1.0)
    elif any(beta in bounds for beta in by_fold.values()):
        note = (
            "T of a fold reaches a bound of its range, too few wrong units to fit it: these units are kept as they are"
        )
        by_fold = {fold: 1.0 if beta in bounds else beta for fold, beta in by_fold.items()}
    return MapFits({"temperature": 1 / beta_of_all}, [{"temperature": 1 / beta} for beta in by_fold.values()], note)


def minimise(
    sums: Callable[[Mapping[int, float]], Mapping[int, tuple[float, float]]],
    start: Mapping[int, float],
    close: float = CLOSE,
) -> dict[int, float]:
    """Minimise several convex functions of beta = 1 / T, all in the same passes, by Newton's method with a bracket.

    sums : {name: beta} -> {name: (slope, curvature)}; start : {name: first beta}; close : relative step at which a
    function is done, its error being about the square of it. A minimiser beyond the range of TEMPERATURES is set to the
    nearer end of the range.
    """
    least, most = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    brackets = dict.fromkeys(start, (0.0, math.inf))
    running, minimisers = dict(start), {}
    while running:
        for name, (slope, curvature) in sums(dict(running)).items():
            beta, (low, high) = running[name], brackets[name]
            if slope == 0 or (beta == least and slope > 0) or (beta == most and slope < 0):
                # Flat after a fall: the function has reached 0 and stays 0 at any larger beta.
                minimisers[name] = most if slope == curvature == 0 and low > 0 else beta
                del running[name]
                continue
            brackets[name] = low, high = (low, beta) if slope > 0 else (beta, high)
            step = slope / curvature if curvature > 0 else math.copysign(math.inf, slope)
            new = min(max(beta - step, least), most)
            if not low < new < high:
                new = math.sqrt(max(low, least) * min(high, most))
            running[name] = new
            if abs(new - beta) <= close * beta and least < new < most:
                minimisers[name] = running.pop(name)
    return {name: minimisers[name] for name in start}
