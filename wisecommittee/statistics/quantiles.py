"""Intervals of a quantile, free of any assumption on the distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantile_interval(
    values: NDArray[np.floating | np.integer], share: float, level: float = 0.95, independent: float | None = None
) -> tuple[float, float] | None:
    """Interval between two order statistics that holds a quantile.

    The number of values below the quantile is binomial; each end is exceeded with at most (1 - level) / 2.

    Parameters
    ----------
    values : float [N]
    share : float
        Of the distribution that lies at or below the quantile, in (0, 1).
    level : float
    independent : float, optional
        How many independent values are as sure; by default N.

    Returns
    -------
    (float, float) or None
        None where the values are too few for an upper end.

    References
    ----------
    Conover, "Practical Nonparametric Statistics", 3rd ed. 1999, Section 3.2.
    """
    from scipy.stats import binom

    ordered, n = np.sort(np.asarray(values, np.float64)), len(values)
    tail = (1 - level) / 2
    few = n if independent is None else int(independent)
    low = int(binom.ppf(tail, few, share)) - 1  # P(fewer than this many + 1 lie below) <= tail
    high = int(binom.isf(tail, few, share))
    if high >= few:
        return None
    low, high = (low, high) if few == n else (low * n // few, min(-(-(high + 1) * n // few), n) - 1)
    return float(ordered[max(low, 0)]), float(ordered[high])
