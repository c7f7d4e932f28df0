"""The hypothesis that a statement about a committee is false, with the counts or values of the units that test it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.betting import mean_lower_limit, p_mean_at_most
from wisecommittee.statistics.binomial import lower_limit, p_at_most
from wisecommittee.statistics.noninferiority import difference_lower_limit, p_inferior
from wisecommittee.statistics.paired import PairedCounts

BETTING = "betting"
# Bets are on values with a bound, and a cost that varies per unit has none that is known.
BETTING_UP_TO_THE_DEAREST = "betting, if no unit costs more than the dearest that chose"


class Hypothesis(Protocol):
    """That a statement is false. method : name of the test; n : number of units that it counts."""

    @property
    def method(self) -> str: ...
    @property
    def n(self) -> int: ...
    def p_value(self, delta: float) -> float:
        """A valid p-value, at all levels; delta is the level at which betting is best."""

    def smallest_margin(self, delta: float) -> float:
        """The least margin (Guarantee.at_margin) with which the statement is shown at delta."""


@dataclass(frozen=True, slots=True)
class Certain:
    """The statement is true whatever the units: the committee is the model that it is compared with, or cannot cost
    more.

    margin : the least with which it is true.
    """

    n: int
    margin: float
    method: str = "true of any units"

    def p_value(self, delta: float) -> float:
        return 0.0

    def smallest_margin(self, delta: float) -> float:
        return self.margin


@dataclass(frozen=True, slots=True)
class Share:
    """A share of units, at least `number`: exact binomial test."""

    successes: int
    n: int
    number: float
    scale: float = 1.0  # of the margin
    method: str = "exact binomial"

    def p_value(self, delta: float) -> float:
        return p_at_most(self.successes, self.n, self.number)

    def smallest_margin(self, delta: float) -> float:
        return self.scale * (self.number - lower_limit(self.successes, self.n, 1 - delta))


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of values in [0, 1], in an order that does not depend on them, at least `number`: betting."""

    values: NDArray[np.float64]
    number: float
    scale: float = 1.0  # of the margin
    margin: float = 0.0  # of the statement
    method: str = BETTING

    @property
    def n(self) -> int:
        return len(self.values)

    def p_value(self, delta: float) -> float:
        return p_mean_at_most(self.values, max(self.number, 0.0), delta) if self.number < 1 else 1.0

    def smallest_margin(self, delta: float) -> float:
        return self.margin + self.scale * (self.number - mean_lower_limit(self.values, 1 - delta))


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of a committee minus that of a model on the same units, at least -margin: exact unconditional test."""

    counts: PairedCounts
    margin: float
    method: str = "exact non-inferiority"

    @property
    def n(self) -> int:
        return self.counts.units

    def p_value(self, delta: float) -> float:
        return p_inferior(self.counts, self.margin)

    def smallest_margin(self, delta: float) -> float:
        return -difference_lower_limit(self.counts, 1 - delta)
