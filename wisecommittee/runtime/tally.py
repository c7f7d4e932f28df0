"""Counts of what queues do, as they do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.walk import Exits
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.replies import Given
from wisecommittee.runtime.stage_queue import StageQueue
from wisecommittee.runtime.statistics import QueueStatistics, StageStatistics


class Tally:
    """Counts by the stages of a committee; a stage of a part of a mixture counts as the stage of its last member.

    Parameters
    ----------
    committee : Committee
    watch : callable
        Gets (stage, number of units, seconds) of each batch.
    """

    def __init__(self, committee: Committee, watch: Callable[[int, int, float], None]) -> None:
        self._stages = [StageStatistics(members) for members in committee.stages]
        self._stage_of = {name: k for k, members in enumerate(committee.stages) for name in members}
        self._watch = watch
        self.requests, self._costs = Counter[str](answered=0, failed=0, cancelled=0, refused=0), Counter[str]()

    def called(self, name: str, *, again: bool) -> None:
        """A call of a member has failed; again : whether it is repeated."""
        stage = self._stages[self._stage_of[name]]
        stage.failures += 1
        stage.retries += again

    def ran(self, members: Sequence[str], new: Mapping[str, Given], units: int, seconds: float) -> None:
        """A batch has run a stage."""
        number = self._stage_of[members[-1]]
        stage = self._stages[number]
        stage.batches += 1
        stage.units += units
        stage.seconds += seconds
        stage.failed += int(np.any([given.at < 0 for given in new.values()], axis=0).sum())
        self._watch(number, units, seconds)

    def exited(self, exits: Exits[RuntimeBatch]) -> None:
        """Units have exited."""
        batch = exits.batch
        members = batch.committee.stages[exits.route[-1]]
        self._stages[self._stage_of[members[-1]]].exits += len(exits.rows)

    def answered(self, decisions: Decisions) -> Decisions:
        """A request has got its decisions."""
        self.requests["answered"] += 1
        for cost, values in decisions.costs.items():
            self._costs[cost] += values.sum()
        return decisions

    def ended(self, error: BaseException) -> None:
        """A request has ended without decisions."""
        self.requests["failed" if isinstance(error, Exception) else "cancelled"] += 1

    def by_stage(self, queues: Iterable[StageQueue]) -> list[int]:
        """The number of units in the queues of each stage."""
        units = [0] * len(self._stages)
        for queue in queues:
            units[self._stage_of[queue.members[-1]]] += queue.units
        return units

    def statistics(self, waiting: int) -> QueueStatistics:
        """The counts so far; waiting : units that are not yet answered."""
        costs = {cost: float(total) for cost, total in self._costs.items()}
        return QueueStatistics(tuple(map(replace, self._stages)), waiting, dict(self.requests), costs)
