"""A stream of values against a reference sample: a test of equal means that may look at the stream after every unit.

The test holds whatever the length of the stream and whatever the distribution of the values, and carries the sampling
error of the reference. For a mean p that both samples might have, two gamblers bet against p: one on the reference, one
on the stream, in opposite directions. If p is the mean of both, the product of their capitals is a nonnegative
supermartingale along the stream that starts with expectation 1, so that it ever reaches 1 / alpha with probability
alpha at most (Ville 1939). The evidence is the least product over all p: no mean explains both samples once it reaches
1 / alpha.

The bets are mixtures of constant stakes after Waudby-Smith & Ramdas, "Estimating means of bounded random variables by
betting", Journal of the Royal Statistical Society B 86, 2024, Section 4 and Appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STANDARD_ERRORS = (1.5, 3.0)  # distances of the reference's mean for which the bets on the reference are best
CELLS = 39  # cells of p per square root of the reference's size: a cell is 1/12 of a standard error wide
FEWEST, MOST = 200, 4000  # cells
CAPITAL = 0.5  # most of the capital that is staked on one value
GROWTH = 1.02  # from one look at the stream to the next
MOST_VALUES = 200  # distinct values; more are rounded to steps of 1 / MOST_VALUES
AT_ONCE = 32  # looks that are computed together
STEPS = 30  # halvings of the range of a limit


@dataclass(frozen=True, slots=True)
class MeanChange:
    """The mean of a stream beside that of a reference sample.

    Parameters
    ----------
    reference, live : float
        The means of both samples.
    interval : (float, float)
        Of the population mean of the stream minus that of the reference, at level 1 - alpha, whatever the length of the
        stream at which it is computed.
    alarm : int or None
        Number of values of the stream after which the means are shown to differ; None if they are not.
    """

    reference: float
    live: float
    interval: tuple[float, float]
    alarm: int | None


def mean_change(reference: NDArray[np.floating], live: NDArray[np.floating], alpha: float = 0.05) -> MeanChange:
    """Compare a stream with a reference sample of the same quantity.

    Parameters
    ----------
    reference : float [m]
        Independent values in [0, 1], in any order.
    live : float [n]
        Independent values in [0, 1], in the order of the stream.
    alpha : float
        Largest probability of an alarm, ever, if both have the same mean.

    Returns
    -------
    MeanChange
    """
    values = np.unique(np.concatenate([reference, live]).astype(np.float64))
    if len(values) > MOST_VALUES:  # the rounded values are compared: they are a quantity in [0, 1] too
        values = np.arange(MOST_VALUES + 1) / MOST_VALUES
        reference, live = (np.rint(np.asarray(x) * MOST_VALUES) / MOST_VALUES for x in (reference, live))
    counts = np.bincount(np.searchsorted(values, reference), minlength=len(values)).astype(np.float64)
    evidence = Evidence(values, counts)
    alarm = _first(evidence, np.searchsorted(values, live), math.log(1 / alpha))
    counted = np.bincount(np.searchsorted(values, live), minlength=len(values)).astype(np.float64)
    interval = evidence.interval(counted, alpha)
    return MeanChange(float(np.mean(reference)), float(np.mean(live)), interval, alarm)


def _first(evidence: Evidence, at: NDArray[np.int64], wanted: float) -> int | None:
    """The first look at which the evidence reaches `wanted`. at : the index of each value of the stream."""
    seen, position = np.zeros(len(evidence.values)), 0
    for block in _blocks(len(at)):
        rows = []
        for look in block:
            seen = seen + np.bincount(at[position:look], minlength=len(seen))
            position = look
            rows.append(seen)
        reached = np.flatnonzero(evidence(np.array(rows)) >= wanted)
        if len(reached):
            return block[reached[0]]
    return None


def _blocks(units: int) -> Iterator[list[int]]:
    """The numbers of units after which the stream is looked at, AT_ONCE at a time: every unit at first, then at growing
    distances that do not depend on the length of the stream, and the last unit."""
    block, look = [], 1
    while look < units:
        block.append(look)
        if len(block) == AT_ONCE:
            yield block
            block = []
        look = max(look + 1, int(look * GROWTH))
    yield [*block, units]


class Evidence:
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
