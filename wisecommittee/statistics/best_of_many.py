"""The best of several models on the same units: by how much its figures flatter it, and what compares with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000
MOST = 64  # models that take part: those with the best means


@dataclass(frozen=True, slots=True)
class Flattery:
    """Errors of the difference between a committee and the best of several models, as they would be in new samples.

    Parameters
    ----------
    mean : float
        By how much the difference is too low, because the best model's mean is too high.
    errors : float64 [n]
        Errors of the difference, less their mean; ascending.
    """

    mean: float
    errors: NDArray[np.float64]

    def interval(self, difference: float, level: float, wider: float = 1.0) -> tuple[float, float]:
        """Interval of the true difference around an estimate that is freed of the flattery; wider : factor of the
        errors."""
        low, high = np.quantile(self.errors, [(1 - level) / 2, (1 + level) / 2])
        return difference - wider * float(high), difference - wider * float(low)


def flattery(committee: NDArray[np.float64], models: NDArray[np.float64], seed: int = 0) -> Flattery:
    """How a sample flatters the best of several models beside a committee that the sample did not choose.

    Means of new samples are drawn from a normal distribution with the covariance of the units. Its centre is the
    sample's means, drawn together until their spread is that of the true means (empirical Bayes): the best of equally
    good models is best by chance, and the closer they are the more it is flattered.

    Parameters
    ----------
    committee : float64 [N]
        What the committee contributes on each unit, such as 1 where it is right.
    models : float64 [M, N]
        The same of each model.
    seed : int

    Returns
    -------
    Flattery

    References
    ----------
    Louis, "Estimating a population of parameter values using Bayes and empirical Bayes methods", JASA 79, 1984: the
    spread of shrunken means. Efron, "Tweedie's formula and selection bias", JASA 106, 2011.
    """
    units = committee.size
    kept = models[np.argsort(-models.mean(axis=1), kind="stable")[:MOST]]
    rows = np.concatenate([kept, committee[None]])
    covariance = np.atleast_2d(np.cov(rows)) / units
    centre = np.append(_drawn_together(kept.mean(axis=1), covariance[:-1, :-1]), committee.mean())
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = np.random.default_rng(seed).standard_normal((DRAWS // 2, len(rows))) @ root.T
    noise = np.concatenate([drawn, -drawn])  # so that a model that is always the best is not flattered at all
    best = (centre[:-1] + noise[:, :-1]).argmax(axis=1)
    errors = noise[:, -1] - noise[np.arange(DRAWS), best]
    return Flattery(float(-errors.mean()), np.sort(errors - errors.mean()))


def _drawn_together(means: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means [M] moved towards their average so that their variance is that of the true means."""
    number = len(means)
    if number < 2:
        return means
    spread = float(((means - means.mean()) ** 2).sum())
    by_chance = float(np.trace(covariance) - covariance.sum() / number)
    share = max(0.0, 1 - by_chance / spread) if spread > 0 else 0.0
    return np.asarray(means.mean() + (means - means.mean()) * np.sqrt(share))
