"""What a server counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.serving.metrics import SECONDS, UNITS, Counter, Gauge, Histogram, Metric, exposition


class Counts:
    """Requests, exits, costs and failures since the start.

    Parameters
    ----------
    committee : Committee
    waiting : callable
        Gives the number of units that are accepted and not yet answered.
    """

    def __init__(self, committee: Committee, waiting: Callable[[], float]) -> None:
        name = "wisecommittee_{}".format
        self.stages = len(committee.stages)
        self.requests = Counter(name("requests_total"), "Requests to /predict, by status of the answer.")
        self.failures = Counter(name("failures_total"), "Requests without decisions, by reason.")
        self.request_seconds = Histogram(
            name("request_seconds"), "Seconds from the head of a request to its answer, by status.", SECONDS
        )
        self.exits = Counter(name("exits_total"), "Units by the stage at which they exit, from 1.")
        self.unanswered = Counter(name("unanswered_total"), "Units to which the policy gives no answer.")
        self.costs = Counter(name("cost_total"), "Cost of the units that were answered, where it is known.")
        self.stage_seconds = Histogram(name("stage_seconds"), "Seconds that a batch takes in a stage.", SECONDS)
        self.batches = Histogram(name("batch_units"), "Units in a batch of a stage.", UNITS)
        self.waiting = Gauge(name("waiting_units"), "Units that are accepted and not yet answered.", waiting)
        for stage in range(self.stages):
            self.exits.add(0, stage=stage + 1)
        self.unanswered.add(0)

    def answered(self, decisions: Decisions) -> None:
        """Count the decisions of a request."""
        for stage, units in enumerate(np.bincount(decisions.stage, minlength=self.stages).tolist()):
            self.exits.add(units, stage=stage + 1)
        none = NO_TEXT if decisions.prediction.dtype.kind == "U" else NO_CLASS
        self.unanswered.add(int(np.count_nonzero(decisions.prediction == none)))
        for name, values in decisions.costs.items():
            self.costs.add(float(np.nansum(values)), cost=name)

    def exits_at(self) -> list[int]:
        """Units that have exited at each stage."""
        return [int(self.exits.values[("stage", str(stage + 1)),]) for stage in range(self.stages)]

    def text(self) -> str:
        """All counts in the format of Prometheus."""
        metrics: list[Metric] = [metric for metric in vars(self).values() if hasattr(metric, "samples")]
        return exposition(metrics)
