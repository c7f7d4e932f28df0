"""Many requests at once: units that wait for the same stage run together, whichever request they came with.

A unit that does not exit leaves the batch it ran in and waits in the queue of its next stage, where units of other
requests join it; so later stages, which few units reach, run full batches too. The decisions are those of the runtime
on each request alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from wisecommittee.errors import OverloadError, UsageError, counted
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.engine import Engine
from wisecommittee.runtime.gathering import Gathering
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.rows import count
from wisecommittee.runtime.schedule import Waits
from wisecommittee.runtime.statistics import QueueStatistics
from wisecommittee.runtime.tally import Tally

if TYPE_CHECKING:
    from wisecommittee.runtime.runtime import Runtime


class Queues:
    """Queues before the stages of a committee, for many requests in one event loop.

    A stage runs when `max_batch` units wait for it, or when the oldest has waited `max_wait_ms`, as soon as its members
    are free (`Member.at_once`). A stage whose members are all called for each unit by itself (`Member.each`) does not
    wait. Members of a stage run at the same time.

    Parameters
    ----------
    runtime : Runtime
    max_batch : int
        Most units of a batch.
    max_wait_ms : float
        Most milliseconds that a unit waits for others before a stage; infinity: until nothing else runs.
    max_waiting : int
        Most units that are accepted and not yet answered, of all requests.
    watch : callable, optional
        Gets (stage, from 0; number of units; seconds) of each batch when it has run a stage.

    Raises
    ------
    UsageError
        One of these is too small.

    Examples
    --------
    >>> import asyncio
    >>> import numpy as np
    >>> from wisecommittee.committees.committee import Committee
    >>> from wisecommittee.committees.policies.thresholds import Thresholds
    >>> from wisecommittee.runtime import Runtime
    >>> committee = Committee((("small",), ("large",)), Thresholds((0.9,)))
    >>> runtime = Runtime(committee, {"small": lambda x: 2 * x, "large": lambda x: 9 * x})
    >>> async def main():
    ...     async with Queues(runtime) as queues:
    ...         one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]])
    ...         return await asyncio.gather(queues.decide(one), queues.decide(other))
    >>> [decisions.stage.tolist() for decisions in asyncio.run(main())]
    [[1], [0]]
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        max_batch: int = 64,
        max_wait_ms: float = 5.0,
        max_waiting: int = 10_000,
        watch: Callable[[int, int, float], None] = lambda stage, units, seconds: None,
    ) -> None:
        if max_batch < 1 or max_waiting < 1 or not max_wait_ms >= 0:
            raise UsageError(
                f"max_batch {max_batch}, max_wait_ms {max_wait_ms}, max_waiting {max_waiting}: expected at least 1, 0 "
                f"and 1"
            )
        self.runtime, self.max_waiting = runtime, max_waiting
        self._tally, self._closed = Tally(runtime.committee, watch), False
        self._engine = Engine(runtime, Waits(max_batch, max_wait_ms / 1e3), self._tally)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(drain=error is None)

    async def close(self, *, drain: bool = True) -> None:
        """Take no more requests; answer the accepted ones, or with drain=False end them with an OverloadError."""
        self._closed = True
        await self._engine.close(drain=drain)

    async def decide(
        self,
        inputs: Any,
        unit_ids: Sequence[str] | None = None,
        features: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> Decisions:
        """The decisions on the units of a request. A request that is cancelled leaves the queues.

        Parameters
        ----------
        inputs, unit_ids, features
            As for a call of the runtime.

        Returns
        -------
        Decisions

        Raises
        ------
        OverloadError
            More units would wait than may, or the queues are closed.
        UsageError, CommitteeError, MemberError
            As for a call of the runtime.
        """
        runtime, committee = self.runtime, self.runtime.committee
        inputs = runtime.units(inputs)
        n = count(inputs)
        known = Known.of(committee, unit_ids, features, n)
        self._refuse(n)
        gathering = Gathering(runtime.charges, runtime.combination, n, self._engine.requests.next_index(n))
        if not n:
            return gathering.decisions(runtime.classes)
        try:
            batch = RuntimeBatch(runtime, committee, gathering.index, inputs, known)
            return self._tally.answered(await self._engine.decisions(gathering, batch))
        except BaseException as error:
            self._tally.ended(error)
            raise

    def waiting(self) -> list[int]:
        """The number of units that wait for each stage."""
        return self._tally.by_stage(self._engine.schedule.queues.values())

    def statistics(self) -> QueueStatistics:
        """What the queues have done so far."""
        return self._tally.statistics(self._engine.requests.units)

    def _refuse(self, units: int) -> None:
        """OverloadError if so many more units may not wait."""
        waiting = self._engine.requests.units
        if not self._closed and waiting + units <= self.max_waiting:
            return
        self._tally.requests["refused"] += 1
        if self._closed:
            raise OverloadError("the queues are closed; they take no more requests")
        raise OverloadError(
            f"{counted(units, 'unit')} more than the {waiting:,} that wait; at most {self.max_waiting:,} may "
            f"(max_waiting): try again later, or with fewer units"
        )
