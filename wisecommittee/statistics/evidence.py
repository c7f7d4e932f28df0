"""The evidence that a stream of bounded values and a reference sample differ in their means.

For a mean p that both samples might have, two gamblers bet against p: one on the reference, one on the stream, in
opposite directions. If p is the mean of both, the product of their capitals is a nonnegative supermartingale along the
stream that starts with expectation 1, so that it ever reaches 1 / alpha with probability alpha at most (Ville 1939).
The evidence is the least product over all p: no mean explains both samples once it reaches 1 / alpha. This holds
whatever the length of the stream and the distribution of the values, and counts the sampling error of the reference.

The bets are mixtures of constant stakes after Waudby-Smith & Ramdas, "Estimating means of bounded random variables by
betting", Journal of the Royal Statistical Society B 86, 2024, Section 4 and Appendix C.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STANDARD_ERRORS = (1.5, 3.0)  # distances of the reference's mean for which the bets on the reference are best
CELLS = 39  # cells of p per square root of the reference's size: a cell is 1/12 of a standard error wide
FEWEST, MOST = 200, 4000  # cells
CAPITAL = 0.5  # most of the capital that is staked on one value
STEPS = 30  # halvings of the range of a limit


class DriftEvidence:
    """The evidence that a stream's mean differs from that of a reference sample.

    Parameters
    ----------
    values : float64 [V]
        The distinct values of both, in [0, 1], ascending.
    counts : float64 [V]
        How many units of the reference have each value.
    """

    def __init__(self, values: Array, counts: Array) -> None:
        self.values, self.counts, self.units = values, counts, int(counts.sum())
        cells = min(MOST, max(FEWEST, round(CELLS * math.sqrt(self.units))))
        edges = np.sin(np.linspace(0, np.pi / 2, cells + 1)) ** 2  # as many standard errors apart everywhere
        self.low, self.high = edges[:-1], edges[1:]
        stakes = [distance / math.sqrt(self.units) / self._deviation(0.0) for distance in STANDARD_ERRORS]
        up, down = self._capitals(counts[None], 0.0, np.array(stakes))
        self.up, self.down = up[0], down[0]

    def __call__(self, live: Array, shift: float = 0.0) -> Array:
        """float64 [T]: the logarithm of the evidence that the stream's mean is not that of the reference plus `shift`.

        live : float64 [T, V] how many units of the stream have each value, at each of T looks.
        """
        smallest = math.ceil(math.log2(self.units) / 2) + 3  # stakes that suit streams of 64 times the reference's size
        stakes = np.array([0.5**j / self._deviation(shift) for j in range(1, smallest + 1)])
        up, down = self._capitals(live, shift, stakes)
        product = np.logaddexp(self.up + down, self.down + up) - math.log(2)
        possible = (self.high + shift > 0) & (self.low + shift < 1)
        return np.where(possible, product, np.inf).min(axis=1)

    def interval(self, live: Array, alpha: float) -> tuple[float, float]:
        """The shifts against which the evidence stays below 1 / alpha, for a stream with these counts [V]."""
        wanted = math.log(1 / alpha)
        centre = float(live @ self.values / live.sum() - self.counts @ self.values / self.units)
        ends = []
        for end in (-1.0, 1.0):
            inside, outside = centre, end
            for _ in range(STEPS):
                middle = (inside + outside) / 2
                refuted = self(live[None], middle)[0] >= wanted
                inside, outside = (inside, middle) if refuted else (middle, outside)
            ends.append(outside)
        return ends[0], ends[1]

    def _deviation(self, shift: float) -> Array:
        """float64 [cells]: standard deviation of a share whose mean is that of the cell plus the shift."""
        middle = (self.low + self.high) / 2
        mean = np.clip(middle + shift, middle[0], middle[-1])
        return np.sqrt(mean * (1 - mean))

    def _capitals(self, counts: Array, shift: float, stakes: Array) -> tuple[Array, Array]:
        """float64 [T, cells]: logarithms of the capital of a gambler on values above p + shift, and of one on values
        below, at least, for every p of a cell. Each is the mean over the stakes [S, cells].

        The capital of the first falls with p, so that the least is that at the upper end of the cell, and vice versa.
        """
        low, high = np.clip(self.low + shift, 0, 1), np.clip(self.high + shift, 0, 1)
        with np.errstate(divide="ignore"):
            above, below = np.minimum(stakes, CAPITAL / high), np.minimum(stakes, CAPITAL / (1 - low))
        centred = self.values[:, None, None]
        capitals = []
        for growth in (np.log1p(above * (centred - high)), np.log1p(below * (low - centred))):
            capital = np.tensordot(counts, growth, axes=1)
            most = capital.max(axis=1)
            capitals.append(most + np.log(np.exp(capital - most[:, None]).mean(axis=1)))
        return capitals[0], capitals[1]
