"""Platt and isotonic calibration: fits of right or wrong to the log-odds of the winning class, or to the stored
confidence of an answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Parameters
from wisecommittee.errors import ContentError, option

FEW_ISOTONIC = 1000  # Niculescu-Mizil and Caruana 2005: with fewer units, Platt generalises better


def fit_platt(s: NDArray[np.float64], right: NDArray[np.float64], what: str) -> tuple[Parameters, str | None]:
    """Logistic regression of right [n] on s [n] without a penalty; the slope is at least 0. Labels are not smoothed:
    Platt 1999 does so for classes of a few units.

    what : the model and its split, for messages
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    if right.min() == right.max():
        raise ContentError(
            f"{what}: its units are all {'right' if right[0] else 'wrong'}, in a fold at least; Platt scaling needs "
            f"both; use {option('method', 'temperature')}, or add units"
        )
    if not s[right < 1].max() > s[right > 0].min():
        raise ContentError(
            f"{what}: a confidence of {s[right > 0].min():.4g} divides the right units from the wrong ones, so that no "
            f"finite Platt scaling is best; use {option('method', 'temperature')} or isotonic, or add units"
        )
    center, width = float(s.mean()), float(s.std())
    if width == 0:
        raise ContentError(f"{what}: every unit has the same confidence; there is nothing to calibrate")
    x = np.stack([(s - center) / width, np.ones(len(s))])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = w @ x
        return float((np.logaddexp(0, odds) - right * odds).mean()), x @ (expit(odds) - right) / len(s)

    def hessian(w: NDArray[np.float64]) -> NDArray[np.float64]:
        p = expit(w @ x)
        return (x * (p * (1 - p))) @ x.T / len(s)

    w = minimize(loss, np.zeros(2), jac=True, hess=hessian, method="trust-exact").x
    for _ in range(3):  # the optimiser stops where the loss no longer falls visibly
        w -= np.linalg.solve(hessian(w), loss(w)[1])
    if w[0] <= 0:
        note = "confidence does not rise with accuracy, so that the slope reaches its bound 0: kept as it is, slope 1"
        return {"slope": 1.0, "intercept": 0.0}, note
    return {"slope": float(w[0] / width), "intercept": float(w[1] - w[0] * center / width)}, None


def fit_isotonic(s: NDArray[np.float64], right: NDArray[np.float64], what: str) -> tuple[Parameters, str | None]:
    """The non-decreasing function of s [n] nearest to right [n], as the knots (x, y) of a piecewise linear function.
    `floor` keeps it half a unit from 0 and 1, so that its log-odds stay finite.

    what : the model and its split, for messages
    """
    from scipy.optimize import isotonic_regression

    x, index, weight = np.unique(s, return_inverse=True, return_counts=True)
    mean = np.bincount(index, weights=right) / weight
    y = isotonic_regression(mean, weights=weight).x
    if y[0] == y[-1]:
        why = "its units are all right" if y[0] == 1 else "its confidence does not rise with accuracy"
        raise ContentError(
            f"{what}: {why}, in a fold at least, so that the best monotone fit is the same for every unit; there is "
            f"nothing to calibrate; add units, or use {option('method', 'temperature')}"
        )
    knot = np.ones(len(y), dtype=bool)
    knot[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])  # the ends of each step
    few = f"{len(s)} units: below {FEW_ISOTONIC:,} isotonic regression follows the sample, prefer temperature or platt"
    parameters = {"x": x[knot].tolist(), "y": y[knot].tolist(), "floor": 0.5 / len(s)}
    return parameters, few if len(s) < FEW_ISOTONIC else None
