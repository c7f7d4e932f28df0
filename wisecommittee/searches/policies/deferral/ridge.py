"""Ridge regression, fitted without each fold of the units and to all of them; the penalty is chosen on the folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.evidence import ONE_THREAD, product

Floats = NDArray[np.float64]
PENALTIES = np.array([3.0, 10, 30, 100, 300, 1000, 3000])


@dataclass(frozen=True, slots=True)
class Fit:
    """out_of_fold : float64 [N, T], estimates for each unit without its fold. coefficients : float64 [1 + F, T] of a
    fit to all units, the constant first."""

    out_of_fold: Floats
    coefficients: Floats


def ridge(columns: Floats, targets: Floats, fold: NDArray[np.integer], *, together: bool = False) -> Fit:
    """Least squares with a penalty on the squared coefficients of standardised columns, but not on the constant.

    Of PENALTIES the one with the least squared error on units that are not fitted is taken: the generalised form of
    Hoerl and Kennard 1970, with the penalty by cross-validation.

    Parameters
    ----------
    columns : float64 [N, F]
    targets : float64 [N, T]
    fold : int [N]
        The fold of each unit, from 0.
    together : bool
        One penalty for all targets instead of one for each.
    """
    centre, spread = columns.mean(axis=0), columns.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1)
    columns = (columns - centre) / spread
    every = _sums(columns, targets)
    estimates = np.empty((len(PENALTIES), *targets.shape))
    for number in range(int(fold.max()) + 1):
        out = np.flatnonzero(fold == number)
        left = columns[out]
        solved = _solve(every - _sums(left, targets[out]), columns.shape[1])
        flat = np.moveaxis(solved, 0, 1).reshape(1 + columns.shape[1], -1)
        fitted = product(left, flat[1:]) + flat[0]
        estimates[:, out] = np.moveaxis(fitted.reshape(len(out), *solved.shape[::2]), 1, 0)
    errors = ((estimates - targets) ** 2).sum(axis=1)
    best = errors.argmin(axis=0) if not together else np.full(targets.shape[1], errors.sum(axis=1).argmin())
    target = np.arange(targets.shape[1])
    chosen = _solve(every, columns.shape[1])[best, :, target].T
    chosen[1:] /= spread[:, None]
    chosen[0] -= centre @ chosen[1:]
    return Fit(estimates[best, :, target].T, chosen)


def _sums(columns: Floats, targets: Floats) -> Floats:
    """float64 [1 + F + T, 1 + F + T]: the sums over units of all products of a constant, the columns, and the
    targets."""
    rows = np.concatenate([np.ones((len(columns), 1)), columns, targets], axis=1)
    total, step = np.zeros((rows.shape[1],) * 2), max(1, ONE_THREAD // rows.shape[1] ** 2)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        total += part.T @ part
    return total


def _solve(sums: Floats, width: int) -> Floats:
    """float64 [penalties, 1 + F, T]: the coefficients from sums over the units that are fitted; width : F."""
    units = max(sums[0, 0], 1)
    means, middle = sums[0, 1 : 1 + width] / units, sums[0, 1 + width :] / units
    centred = sums[1 : 1 + width, 1:] - np.outer(means, sums[0, 1:])
    penalised = centred[:, :width] + PENALTIES[:, None, None] * np.eye(width)
    slopes = np.linalg.solve(penalised, np.broadcast_to(centred[:, width:], (len(PENALTIES), width, len(middle))))
    return np.concatenate([(middle - means @ slopes)[:, None], slopes], axis=1)
