"""Ridge regression of several targets on the same terms, and its predictions of units that it was not fitted to.

Minimises |y - start - X w|^2 + penalty |w|^2 (Hoerl and Kennard 1970). For the indicators of one category this is
counting with smoothing: the mean of a category is pulled towards that of all units as by `penalty` units more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ridge:
    """Fits of all penalties to the same units.

    center : [d] and mean : [T] of the units; vectors [d, d] and values [d] : eigenvectors and eigenvalues of the
    centred X'X; moments : [d, T] vectors' X'y.
    """

    center: Matrix
    mean: Matrix
    vectors: Matrix
    values: Matrix
    moments: Matrix

    @classmethod
    def of(cls, x: Matrix, y: Matrix) -> Ridge:
        """Fit terms x [n, d] to targets y [n, T]."""
        center, mean = x.mean(axis=0), y.mean(axis=0)
        apart = x - center
        values, vectors = np.linalg.eigh(apart.T @ apart)
        return cls(center, mean, vectors, np.maximum(values, 0), vectors.T @ (apart.T @ (y - mean)))

    def weights(self, penalty: float) -> tuple[Matrix, Matrix]:
        """start [T] and weights [d, T]; an infinite penalty leaves the means of the targets."""
        if np.isinf(penalty):
            return self.mean, np.zeros((len(self.center), len(self.mean)))
        weights = self.vectors @ (self.moments / (self.values + penalty)[:, None])
        return self.mean - self.center @ weights, weights

    def predict(self, x: Matrix, penalty: float) -> Matrix:
        """[n, T]"""
        start, weights = self.weights(penalty)
        return start + x @ weights


def held_out(x: Matrix, folds: NDArray[np.integer], fits: list[Ridge], penalty: float) -> Matrix:
    """[n, T] predictions of each unit by the fit without its fold. fits : one for each fold."""
    out = np.empty((len(x), len(fits[0].mean)))
    for fold, fit in enumerate(fits):
        out[folds == fold] = fit.predict(x[folds == fold], penalty)
    return out
