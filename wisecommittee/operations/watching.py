"""The figures of a committee that are watched on a stream, each a mean over units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wisecommittee.operations.outcomes import Numbers, UnitOutcomes
from wisecommittee.statistics.sequential import mean_change


@dataclass(frozen=True, slots=True)
class Watched:
    """One figure of a committee on a reference split and on a stream.

    Parameters
    ----------
    name : str
        'exits at stage 1', .., 'average cost', 'answered' (the share of units that get an answer), 'agreement' (of the
        stages), and the measure of quality, such as 'accuracy'.
    reference, live : float
        Shares, or costs in units of the committee's cost.
    reference_n, n : int
        Number of units behind each.
    interval : (float, float)
        Of live minus reference. The intervals of all figures hold together with probability 1 - alpha, whatever the
        length of the stream at which they are computed.
    unit : int or None
        Number of the unit of the stream, from 1, with which drift was shown; None if it was not.
    """

    name: str
    reference: float
    live: float
    reference_n: int
    n: int
    interval: tuple[float, float]
    unit: int | None

    @property
    def verdict(self) -> str:
        """'steady' as long as no drift is shown, else 'drifted'."""
        return "steady" if self.unit is None else "drifted"

    def to_json(self) -> dict[str, Any]:
        """The fields and the verdict."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "interval": list(self.interval), "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class UnitValues:
    """The values of units whose mean is a watched figure; NaN for units that the figure does not count.

    reference : float64 [m]; live : float64 [n] in the order of the stream; bounds : least and largest value that is
    possible; repeats : whether another figure says the same, so that this one takes no share of alpha.
    """

    name: str
    reference: Numbers
    live: Numbers
    bounds: tuple[float, float] = (0.0, 1.0)
    repeats: bool = False

    @property
    def measured(self) -> bool:
        """Whether both samples have a unit that the figure counts."""
        return bool(np.isfinite(self.reference).any() and np.isfinite(self.live).any())

    def watched(self, alpha: float) -> Watched:
        """The means of both samples, tested at level alpha."""
        least, spread = self.bounds[0], self.bounds[1] - self.bounds[0]
        rows = np.flatnonzero(np.isfinite(self.live))
        reference, live = self.reference[np.isfinite(self.reference)], self.live[rows]
        scaled = [np.clip((sample - least) / spread, 0, 1) for sample in (reference, live)]
        change = mean_change(scaled[0], scaled[1], alpha)
        low, high = (spread * end for end in change.interval)
        unit = None if change.alarm is None else int(rows[change.alarm - 1]) + 1
        means = float(reference.mean()), float(live.mean())
        return Watched(self.name, *means, len(reference), len(live), (low, high), unit)


def watched_values(reference: UnitOutcomes, live: UnitOutcomes, quality: Numbers | None) -> list[UnitValues]:
    """The values of every figure that is watched. quality : float64 [n] of the live units, NaN without a label; None
    if no unit has one."""
    every = [*_exits_and_cost(reference, live)]
    if reference.answered is not None and live.answered is not None:
        every.append(UnitValues("answered", reference.answered.astype(np.float64), live.answered.astype(np.float64)))
    if reference.agreement is not None and live.agreement is not None:
        every.append(UnitValues("agreement", reference.agreement, live.agreement))
    if quality is not None and reference.quality is not None:
        every.append(UnitValues(live.measure, reference.quality, quality))
    return [values for values in every if values.measured]


def _exits_and_cost(reference: UnitOutcomes, live: UnitOutcomes) -> Iterator[UnitValues]:
    """The share of units that exit at each stage but the last, and the average cost.

    Costs of the stream outside the range of those in the reference count as its ends.
    """
    last = len(reference.committee.stages) - 1
    for stage in range(last):
        before, now = ((outcomes.stage == stage).astype(np.float64) for outcomes in (reference, live))
        yield UnitValues(f"exits at stage {stage + 1}", before, now)
    if reference.cost_range[0] < reference.cost_range[1]:
        repeats = last == 1 and len(np.unique(np.concatenate([reference.cost, live.cost]))) <= 2
        yield UnitValues("average cost", reference.cost, live.cost, reference.cost_range, repeats)
