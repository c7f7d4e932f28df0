"""Units of many requests that wait for the same stage."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import Route
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.escalation import Group


@dataclass(slots=True)
class StageQueue:
    """Groups of units that can be joined: the same stages have run for them, and the same members failed.

    Parameters
    ----------
    route : tuple of int
        The stages that the units have run once this one has run too.
    members : tuple of str
        Those of the stage.
    size : int
        Most units of a batch.
    wait : float
        Most seconds that a unit waits for others.
    groups : deque of (group, time at which it came)
    units : int
        In all groups.
    timer : handle of the event loop, optional
        Rings when the oldest unit has waited long enough.
    """

    route: Route
    members: tuple[str, ...]
    size: int
    wait: float
    groups: deque[tuple[Group, float]] = field(default_factory=deque)
    units: int = 0
    timer: Any = None

    @property
    def oldest(self) -> float:
        """The time at which the oldest unit came."""
        return self.groups[0][1]

    @property
    def due(self) -> float:
        """The time at which the oldest unit has waited long enough."""
        return self.oldest + self.wait

    def put(self, group: Group, now: float) -> None:
        self.groups.append((group, now))
        self.units += len(group.batch)

    def take(self) -> Group:
        """A batch of the oldest units."""
        parts: list[RuntimeBatch] = []
        room, first = self.size, self.groups[0][0]
        while room and self.groups:
            group, came = self.groups.popleft()
            batch = group.batch
            if len(batch) > room:
                self.groups.appendleft((replace(group, batch=batch.only(np.arange(room, len(batch)))), came))
                batch = batch.only(np.arange(room))
            parts.append(batch)
            room -= len(batch)
        self.units -= self.size - room
        return replace(first, batch=RuntimeBatch.joined(parts))

    def leave_out(self, index: NDArray[np.int64]) -> None:
        """The units of these indices leave, which are consecutive."""
        groups: deque[tuple[Group, float]] = deque()
        for group, came in self.groups:
            here = group.batch.index
            rows = np.flatnonzero((here < index[0]) | (here > index[-1]))
            if len(rows) == len(group.batch):
                groups.append((group, came))
            elif len(rows):
                groups.append((replace(group, batch=group.batch.only(rows)), came))
        self.groups, self.units = groups, sum(len(group.batch) for group, _ in groups)

    def stop(self) -> None:
        """No timer rings any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
