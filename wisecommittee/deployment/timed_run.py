"""Measured time of a deployed committee, in batches and one unit at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.deployment.comparison import Measured
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.multiply_adds import MultiplyAdds
from wisecommittee.deployment.units import Units
from wisecommittee.extraction.timing import Quartiles
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.store import LogitStore

LEAST_PASSES, MOST_PASSES = 5, 1000


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A deployed committee and the units on which it is timed."""

    run: Deployed
    units: Units
    unit_ids: Sequence[str]

    def decide(self) -> Decisions:
        return self.run(self.units, self.unit_ids)

    def only(self, rows: NDArray[np.int64]) -> TimedRun:
        """The same committee on the units at these positions, which are in memory one behind the other."""
        units = self.units.only(rows)
        for model in self.run.models.values():
            units.of(model)
        return TimedRun(self.run, units, [self.unit_ids[row] for row in rows.tolist()])

    def elapsed(self) -> float:
        """Milliseconds of one run; the decisions are on the CPU at its end, so the device has finished."""
        started = time.perf_counter()
        self.decide()
        return 1e3 * (time.perf_counter() - started)


def measured(timed: TimedRun, labels: NDArray[np.int64], store: LogitStore | None, seconds: float) -> Measured:
    """Accuracy, exits and times of a deployed committee.

    labels : int64 [n]; store : whose cards say the multiply-adds of the members; seconds : approximate time per
    measurement.
    """
    decisions = timed.decide()
    ratios = np.bincount(decisions.stage, minlength=decisions.ran.shape[1]) / len(decisions)
    macs = None if store is None else MultiplyAdds.of(timed.run, store, timed.units, decisions)
    batch = spread(lambda: timed.elapsed() / len(decisions), seconds)
    latency = spread(OneByOne(timed, decisions), seconds)
    return Measured(
        timed.run.committee.label(),
        float((decisions.prediction == labels).mean()),
        None if macs is None else macs.run,
        latency,
        batch,
        tuple(ratios.tolist()),
        None if macs is None else macs.charged,
    )


class OneByOne:
    """Average latency in milliseconds.

    One unit of every route runs by itself; its time is weighted by the number of units on that route.
    """

    def __init__(self, timed: TimedRun, decisions: Decisions) -> None:
        self.timed, self.total, self.turn = timed, len(decisions), 0
        routes, route = np.unique(decisions.ran, axis=0, return_inverse=True)
        rng = np.random.default_rng(0)
        self.groups = [rng.permutation(np.flatnonzero(route.ravel() == r)) for r in range(len(routes))]

    def __call__(self) -> float:
        average = 0.0
        for rows in self.groups:
            row = int(rows[self.turn % len(rows)])
            average += len(rows) / self.total * self.timed.only(np.array([row])).elapsed()
        self.turn += 1
        return average


def spread(measure: Callable[[], float], seconds: float) -> Quartiles:
    """Median and quartiles of repeated measurements, after a warm-up of a fifth of the time."""
    started = time.perf_counter()
    measure()
    while time.perf_counter() - started < seconds / 5:
        measure()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < LEAST_PASSES or (len(taken) < MOST_PASSES and time.perf_counter() - started < seconds):
        taken.append(measure())
    q1, median, q3 = np.quantile(taken, (0.25, 0.5, 0.75)).tolist()
    return Quartiles(q1, median, q3, len(taken))
