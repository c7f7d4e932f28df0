"""Many requests at once: units that wait for the same stage run together, whichever request they came with.

A unit that does not exit leaves the batch it ran in and waits in the queue of its next stage, where units of other
requests join it; so later stages, which few units reach, run full batches too. The decisions are those of the runtime
on each request alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.walk import entering
from wisecommittee.errors import OverloadError, UsageError, counted
from wisecommittee.runtime.async_calls import Caller
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.escalation import Group, decided
from wisecommittee.runtime.gathering import Gathering
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.replies import Given, divided, failure, given, is_endured
from wisecommittee.runtime.requests import NOBODY, Request, Requests
from wisecommittee.runtime.rows import count
from wisecommittee.runtime.schedule import Schedule, Waits
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
        self._requests, self._tally = Requests(), Tally(runtime.committee, watch)
        self._schedule = Schedule(runtime, Waits(max_batch, max_wait_ms / 1e3), self._run)
        self._callers = {name: Caller(runtime, name, self._tally) for name in runtime.members}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(drain=error is None)

    async def close(self, *, drain: bool = True) -> None:
        """Take no more requests; answer the accepted ones, or with drain=False end them with an OverloadError."""
        self._closed = self._schedule.in_haste = True
        try:
            if drain and self._requests:
                self._schedule.start_due()
                await asyncio.wait([request.future for request in self._requests])
        finally:
            for request in self._requests:
                self._fail(request, OverloadError("the queues were closed before the request was answered"))
            await self._schedule.stop()
            for caller in self._callers.values():
                caller.close()

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
        gathering = Gathering(runtime.charges, runtime.combination, n, self._requests.next_index(n))
        if not n:
            return gathering.decisions(runtime.classes)
        request = self._requests.add(gathering)
        try:
            batch = RuntimeBatch(runtime, committee, request.index, inputs, known)
            for group in entering(committee, batch):
                self._send([group] if group.route else decided(group)[1])
            self._schedule.start_due()
            return self._tally.answered(await request.future)
        except BaseException as error:
            self._tally.ended(error)
            raise
        finally:
            self._leave(request)

    def waiting(self) -> list[int]:
        """The number of units that wait for each stage."""
        return self._tally.by_stage(self._schedule.queues.values())

    def statistics(self) -> QueueStatistics:
        """What the queues have done so far."""
        return self._tally.statistics(self._requests.units)

    def _refuse(self, units: int) -> None:
        """OverloadError if so many more units may not wait."""
        waiting = self._requests.units
        if not self._closed and waiting + units <= self.max_waiting:
            return
        self._tally.requests["refused"] += 1
        if self._closed:
            raise OverloadError("the queues are closed; they take no more requests")
        raise OverloadError(
            f"{counted(units, 'unit')} more than the {waiting:,} that wait; at most {self.max_waiting:,} may "
            f"(max_waiting): try again later, or with fewer units"
        )

    async def _run(self, group: Group) -> None:
        """Run a stage for a batch, and send its units on; whatever is raised ends the requests of the batch."""
        try:
            for part in await self._stage(group):
                exits, ahead = decided(part)
                if exits is not None:
                    self._tally.exited(exits)
                    self._requests.answer(exits, self.runtime.classes)
                self._send(ahead)
        except Exception as error:
            for request in self._requests.of(group.batch.index):
                self._fail(request, error)

    async def _stage(self, group: Group) -> list[Group]:
        """The units after the stage, divided by the members that failed."""
        batch, runtime = group.batch, self.runtime
        owner, members = self._requests.owner(batch.index), batch.committee.stages[group.stage]
        started = asyncio.get_running_loop().time()
        replies = await asyncio.gather(*(self._callers[name](batch.inputs, owner) for name in members))
        new = dict[str, Given]()
        for name, each in zip(members, replies, strict=True):
            new[name] = given(name, each, len(batch), runtime.combination)
            for reply in new[name].failures:
                if not (runtime.escalates and is_endured(reply)):
                    for request in self._requests.of(batch.index[reply.rows]):
                        self._fail(request, failure(reply, group.stage))
        self._tally.ran(members, new, len(batch), asyncio.get_running_loop().time() - started)
        return [replace(group, batch=part) for part in divided(batch, new)]

    def _send(self, groups: Sequence[Group]) -> None:
        """Units into the queues of their next stages; those of requests that are gone are left out."""
        for group in groups:
            there = self._requests.owner(group.batch.index) != NOBODY
            if there.all():
                self._schedule.put(group)
            elif there.any():
                self._schedule.put(replace(group, batch=group.batch.only(np.flatnonzero(there))))

    def _fail(self, request: Request, error: Exception) -> None:
        """End a request with an error; its other units leave the queues."""
        if not request.future.done():
            request.future.set_exception(error)
        self._leave(request)

    def _leave(self, request: Request) -> None:
        """The units of a request that have not started leave the queues."""
        if self._requests.remove(request):
            self._schedule.leave_out(request.index)
