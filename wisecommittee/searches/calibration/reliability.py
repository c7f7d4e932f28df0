"""Does a confidence of 80 % mean that 80 % are right? Reliability by bins, and the expected calibration error.

Guo et al. 2017, Sec. 2: M equal-width bins (lo, hi] of the confidence; ECE = sum over bins of the share of units in it
times |accuracy - mean confidence|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError
from wisecommittee.statistics.binomial import wilson_interval

BINS = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """edges float64 [M + 1]; count int64 [M]; confidence, accuracy float64 [M] means of a bin, NaN where empty."""

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def n(self) -> int:
        return int(self.count.sum())

    def intervals(self) -> NDArray[np.float64]:
        """float64 [M, 2]: 95 % Wilson interval of each bin's accuracy, NaN where it is empty; grades count as shares of
        units that are right."""
        bounds = np.full((len(self.count), 2), np.nan)
        for b in np.flatnonzero(self.count):
            bounds[b] = wilson_interval(round(float(self.accuracy[b]) * int(self.count[b])), int(self.count[b]))
        return bounds

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]."""
        filled = self.count > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((gaps * self.count[filled]).sum() / self.n)


def reliability(confidence: NDArray[np.floating], right: NDArray[np.generic], bins: int = BINS) -> Reliability:
    """confidence [N] in [0, 1]; right [N] bool, or graded quality in [0, 1]."""
    if bins < 1:
        raise UsageError(f"bins {bins}; expected at least 1")
    edges = np.linspace(0, 1, bins + 1)
    # side 'left': a confidence on an edge belongs to the bin below it, and 0 to the first.
    bin_of = np.searchsorted(edges[1:-1], confidence, side="left")
    count = np.bincount(bin_of, minlength=bins)
    sums = [np.bincount(bin_of, weights=np.asarray(v, np.float64), minlength=bins) for v in (confidence, right)]
    with np.errstate(invalid="ignore"):
        mean_confidence, accuracy = (total / count for total in sums)
    return Reliability(edges, count, mean_confidence, accuracy)
