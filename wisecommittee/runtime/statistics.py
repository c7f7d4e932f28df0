"""What queues have done so far, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class StageStatistics:
    """The batches of a stage so far.

    Parameters
    ----------
    members : tuple of str
    units : int
        That have run it.
    batches : int
    seconds : float
        From the start of a batch to its end, over all batches.
    failures : int
        Calls of its members that failed, repeated ones included.
    retries : int
        Calls that repeated a failed one.
    failed : int
        Units for which a member failed in the end.
    exits : int
        Units that exited after it.
    """

    members: tuple[str, ...]
    units: int = 0
    batches: int = 0
    seconds: float = 0.0
    failures: int = 0
    retries: int = 0
    failed: int = 0
    exits: int = 0

    @property
    def mean_batch(self) -> float:
        """Units per batch; 0 before the first."""
        return self.units / self.batches if self.batches else 0.0


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """What queues have done so far.

    Parameters
    ----------
    stages : tuple of StageStatistics
    waiting : int
        Units that are accepted and not yet answered.
    requests : {"answered", "failed", "cancelled", "refused": int}
        Requests by their end; refused: for want of room, or because the queues were closed.
    costs : {name: float}
        What members said that answered requests have cost.
    """

    stages: tuple[StageStatistics, ...]
    waiting: int
    requests: Mapping[str, int]
    costs: Mapping[str, float] = field(default_factory=dict)
