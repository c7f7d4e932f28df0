"""Shares of units: exact tests and limits of a binomial share, and the Wilson interval."""

from __future__ import annotations

import math
from statistics import NormalDist


def p_at_most(successes: int, trials: int, share: float) -> float:
    """p-value of the hypothesis that a share is at most `share`: P(X >= successes) for X ~ Binomial(trials, share).

    Parameters
    ----------
    successes, trials : int
    share : float
        In [0, 1].

    Returns
    -------
    float
        In [0, 1]; exact. 1 without trials.
    """
    if successes <= 0:
        return 1.0
    from scipy.special import betainc

    return float(betainc(successes, trials - successes + 1, share))


def p_at_least(successes: int, trials: int, share: float) -> float:
    """p-value of the hypothesis that a share is at least `share`: P(X <= successes) for X ~ Binomial(trials, share).

    Parameters and result are those of `p_at_most`.
    """
    return p_at_most(trials - successes, trials, 1 - share)


def lower_limit(successes: int, trials: int, level: float = 0.95) -> float:
    """One-sided lower limit of a share at confidence `level` (Clopper & Pearson 1934): the least share that
    `p_at_most` does not reject at 1 - level.

    Parameters
    ----------
    successes, trials : int
    level : float
        In (0, 1).

    Returns
    -------
    float
        In [0, 1]; 0 without successes.
    """
    if successes <= 0:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(successes, trials - successes + 1, 1 - level))


def upper_limit(successes: int, trials: int, level: float = 0.95) -> float:
    """One-sided upper limit of a share at confidence `level` (Clopper & Pearson 1934); 1 without failures."""
    return 1 - lower_limit(trials - successes, trials, level)


def wilson_interval(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a share (Wilson 1927), in closed form.

    Parameters
    ----------
    successes, trials : float
        Above 0 trials; no whole numbers where dependent trials count as fewer independent ones.
    level : float
        In (0, 1). The ends at level 0.90 are the one-sided limits at level 0.95.

    Returns
    -------
    (float, float)
        Within [0, 1].
    """
    z, share = NormalDist().inv_cdf((1 + level) / 2), successes / trials
    centre = (2 * successes + z**2) / (2 * (trials + z**2))
    half = z * math.sqrt(z**2 + 4 * trials * share * (1 - share)) / (2 * (trials + z**2))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)
