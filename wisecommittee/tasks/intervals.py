"""95 % intervals of a quality: of mean grades, of smooth functions of totals."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES, RESAMPLED = 999, 50  # resamples of a bootstrap: in all, and at a time
MOST_KEPT = 1 << 25  # drawn units that are kept for the next call


def bootstrap_intervals(grades: NDArray[np.integer]) -> list[tuple[float, float]]:
    """95 % percentile bootstrap interval of the mean of each line of integer grades [n, units]; seeded, whatever the
    order of units.

    All lines share the resamples, which are those of scipy.stats.bootstrap with the same seed. A total is summed by
    parts over the sorted grades: the lowest grade times the number of units, plus each rise times the number of drawn
    units above it.
    """
    units = grades.shape[1]
    ordered = np.sort(grades, axis=1).astype(np.int64)
    rises = np.diff(ordered, axis=1)
    steps = [np.flatnonzero(rise) for rise in rises]
    totals = np.empty((len(grades), RESAMPLES), np.int64)
    start = 0
    for reached in _kept(units) if RESAMPLES * units <= MOST_KEPT else _drawn(units):
        stop = start + len(reached)
        for total, line, rise, step in zip(totals, ordered, rises, steps, strict=True):
            total[start:stop] = units * line[0] + (units - reached[:, step].astype(np.int64)) @ rise[step]
        start = stop
    low, high = np.percentile(totals / units, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _drawn(units: int) -> Iterator[NDArray[np.uint32]]:
    """Yields uint32 [n, units]: for each of n resamples, how many of its draws are at or before each unit."""
    rng = np.random.default_rng(0)
    for start in range(0, RESAMPLES, RESAMPLED):
        draws = rng.integers(0, units, (min(RESAMPLED, RESAMPLES - start), units))
        yield np.stack([np.cumsum(np.bincount(line, minlength=units), dtype=np.uint32) for line in draws])


@lru_cache(maxsize=1)
def _kept(units: int) -> tuple[NDArray[np.uint32], ...]:
    return tuple(_drawn(units))


def normal_interval(quality: float, influence: NDArray[np.floating]) -> tuple[float, float]:
    """95 % interval of a smooth function of totals over units, linearised (the delta method), within [0, 1].

    influence : float64 [units] statistics of each unit times the function's gradient. Units count as independent. Cells
    of one image resemble each other, so over few images the interval is too narrow.
    """
    n = len(influence)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * float(np.sqrt(n * np.var(influence, ddof=1))) if n > 1 else 1.0
    return max(0.0, quality - half), min(1.0, quality + half)
