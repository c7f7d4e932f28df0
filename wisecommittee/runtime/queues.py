"""Many requests at once: units that wait for the same stage run together, whichever request they came with.

A unit that does not exit leaves the batch it ran in and waits in the queue of its next stage, where units of other
requests join it; so later stages, which few units reach, run full batches too. The decisions are those of the runtime
on each request alone.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
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
from wisecommittee.runtime.replies import divided, failure, given, is_endured
from wisecommittee.runtime.requests import NOBODY, Request, Requests
from wisecommittee.runtime.rows import count
from wisecommittee.runtime.stage_queue import StageQueue

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
        self, runtime: Runtime, *, max_batch: int = 64, max_wait_ms: float = 5.0, max_waiting: int = 10_000
    ) -> None:
        if max_batch < 1 or max_waiting < 1 or not max_wait_ms >= 0:
            raise UsageError(
                f"max_batch {max_batch}, max_wait_ms {max_wait_ms}, max_waiting {max_waiting}: expected at least 1, 0 "
                f"and 1"
            )
        self.runtime, self.max_waiting = runtime, max_waiting
        self.max_batch, self.max_wait = max_batch, max_wait_ms / 1e3
        self._requests, self._queues = Requests(), dict[Any, StageQueue]()
        self._callers = {name: Caller(runtime, name) for name in runtime.members}
        self._running, self._busy = set[asyncio.Task[None]](), Counter[str]()
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(drain=error is None)

    async def close(self, *, drain: bool = True) -> None:
        """Take no more requests; answer the accepted ones, or with drain=False end them with an OverloadError."""
        self._closing = True
        try:
            if drain and self._requests:
                self._start_due()
                await asyncio.wait([request.future for request in self._requests])
        finally:
            for request in self._requests:
                self._fail(request.index, OverloadError("the queues were closed before the request was answered"))
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
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
        gathering = Gathering(committee, runtime.combination, n, self._requests.next_index(n))
        if not n:
            return gathering.decisions(runtime.classes)
        request = self._requests.add(gathering)
        try:
            batch = RuntimeBatch(runtime, committee, request.index, inputs, known)
            for group in entering(committee, batch):
                self._onward(*([group] if group.route else decided(group)[1]))
            self._start_due()
            return await request.future
        finally:
            self._leave(request)

    def _refuse(self, units: int) -> None:
        """OverloadError if so many more units may not wait."""
        waiting = self._requests.units
        if self._closing:
            raise OverloadError("the queues are closed; no more requests are taken")
        if waiting + units > self.max_waiting:
            raise OverloadError(
                f"{counted(units, 'unit')} more than the {waiting:,} that wait; at most {self.max_waiting:,} may "
                f"(max_waiting): try again later, or with fewer units"
            )

    def _onward(self, *groups: Group) -> None:
        """Units into the queues of their next stages; those of requests that are gone are left out."""
        now = asyncio.get_running_loop().time()
        for group in groups:
            owner = self._requests.owner(group.batch.index)
            rows = np.flatnonzero(owner != NOBODY)
            if not len(rows):
                continue
            if len(rows) < len(owner):
                group = replace(group, batch=group.batch.only(rows))
            lost = tuple(name for name, ran in group.batch.ran.items() if ran.failed)
            key = (id(group.batch.committee), group.route, group.stage, lost, group.batch.form)
            if key not in self._queues:
                self._queues[key] = self._queue(group)
            self._queues[key].put(group, now)

    def _queue(self, group: Group) -> StageQueue:
        members = group.batch.committee.stages[group.stage]
        if all(self.runtime.members[name].each for name in members):
            return StageQueue(group.route, members, 1, 0.0)
        return StageQueue(group.route, members, self.max_batch, self.max_wait)

    def _start_due(self) -> None:
        """Run the batches that are due and whose members are free, those of the oldest units first."""
        for queue in sorted(self._queues.values(), key=lambda queue: queue.oldest):
            while self._is_due(queue) and self._is_free(queue):
                self._start(queue)
        if self._queues and not self._running and self.max_wait == math.inf:
            self._start(min(self._queues.values(), key=lambda queue: len(queue.route)))

    def _is_due(self, queue: StageQueue) -> bool:
        """Whether its units wait no longer for others; if they do, it is asked again at the end of their wait."""
        if not queue.units or queue.units >= queue.size or self._closing:
            return queue.units > 0
        loop = asyncio.get_running_loop()
        if loop.time() >= queue.due:
            return True
        if queue.due < math.inf and queue.timer is None:
            queue.timer = loop.call_at(queue.due, self._ring, queue)
        return False

    def _ring(self, queue: StageQueue) -> None:
        queue.timer = None
        self._start_due()

    def _is_free(self, queue: StageQueue) -> bool:
        return all(self._busy[name] < self.runtime.members[name].most_calls for name in queue.members)

    def _start(self, queue: StageQueue) -> None:
        """Run a batch of a queue."""
        group = queue.take()
        self._forget_empty()
        self._busy.update(queue.members)
        task = asyncio.get_running_loop().create_task(self._run(group, queue.members))
        self._running.add(task)
        task.add_done_callback(lambda done: self._ended(done, queue.members))

    def _ended(self, task: asyncio.Task[None], members: Sequence[str]) -> None:
        self._running.discard(task)
        self._busy.subtract(members)
        self._start_due()

    def _forget_empty(self) -> None:
        for key, queue in [*self._queues.items()]:
            if not queue.units:
                queue.stop()
                del self._queues[key]

    async def _run(self, group: Group, members: Sequence[str]) -> None:
        """Run a stage for a batch, and send its units on; whatever is raised ends the requests of the batch."""
        batch = group.batch
        try:
            for part in await self._stage(group, members):
                exits, ahead = decided(part)
                if exits is not None:
                    self._requests.answer(exits, self.runtime.classes)
                self._onward(*ahead)
        except Exception as error:
            self._fail(batch.index, error)

    async def _stage(self, group: Group, members: Sequence[str]) -> list[Group]:
        """The units after the stage, divided by the members that failed."""
        batch, runtime = group.batch, self.runtime
        owner = self._requests.owner(batch.index)
        replies = await asyncio.gather(*(self._callers[name](batch.inputs, owner) for name in members))
        new = {
            name: given(name, each, len(batch), runtime.combination)
            for name, each in zip(members, replies, strict=True)
        }
        for each in new.values():
            for reply in each.failures:
                if not (runtime.escalates and is_endured(reply)):
                    self._fail(batch.index[reply.rows], failure(reply, group.stage))
        return [replace(group, batch=part) for part in divided(batch, new)]

    def _fail(self, index: NDArray[np.int64], error: Exception) -> None:
        """End the requests of these units with an error; their other units leave the queues."""
        for request in self._requests.of(index):
            if not request.future.done():
                request.future.set_exception(error)
            self._leave(request)

    def _leave(self, request: Request) -> None:
        """The units of a request that have not started leave the queues."""
        if self._requests.remove(request):
            for queue in self._queues.values():
                queue.leave_out(request.index)
            self._forget_empty()
