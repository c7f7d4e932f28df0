"""Which stage runs next: a queue for each, batches that are due, and members that are free."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.runtime.escalation import Group
from wisecommittee.runtime.stage_queue import StageQueue

if TYPE_CHECKING:
    from wisecommittee.runtime.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Waits:
    """How long units wait for others: most units of a batch, most seconds. Checked by Queues."""

    max_batch: int
    max_wait: float


class Schedule:
    """Queues of units before the stages of a committee, and the batches that run.

    Parameters
    ----------
    runtime : Runtime
    waits : Waits
    run : coroutine function
        Runs the stage of a group, whatever happens.
    """

    def __init__(self, runtime: Runtime, waits: Waits, run: Callable[[Group], Coroutine[Any, Any, None]]) -> None:
        self.runtime, self.waits, self._run = runtime, waits, run
        self.queues = dict[Any, StageQueue]()
        self.in_haste = False  # whether batches run without waiting for more units
        self._running, self._busy = set[asyncio.Task[None]](), Counter[str]()

    def put(self, group: Group) -> None:
        """Units into the queue of the stage that they wait for; `start_due` runs what is due."""
        batch = group.batch
        lost = tuple(name for name, ran in batch.ran.items() if ran.failed)
        key = (id(batch.committee), group.route, group.stage, lost, batch.form)
        if key not in self.queues:
            members = batch.committee.stages[group.stage]
            alone = all(self.runtime.members[name].each for name in members)
            size, wait = (1, 0.0) if alone else (self.waits.max_batch, self.waits.max_wait)
            self.queues[key] = StageQueue(group.route, members, size, wait)
        self.queues[key].put(group, asyncio.get_running_loop().time())

    def leave_out(self, index: NDArray[np.int64]) -> None:
        """The units of these consecutive indices leave the queues."""
        for queue in self.queues.values():
            queue.leave_out(index)
        self._forget_empty()

    def start_due(self) -> None:
        """Run the batches that are due and whose members are free, those of the oldest units first."""
        for queue in sorted(self.queues.values(), key=lambda queue: queue.oldest):
            while self._is_due(queue) and self._is_free(queue):
                self._start(queue)
        if self.queues and not self._running and self.waits.max_wait == math.inf:
            self._start(min(self.queues.values(), key=lambda queue: len(queue.route)))
        self._forget_empty()

    async def stop(self) -> None:
        """End the batches that run."""
        running = [*self._running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _is_due(self, queue: StageQueue) -> bool:
        """Whether its units wait no longer for others; if they do, it is asked again at the end of their wait."""
        if not queue.units or queue.units >= queue.size or self.in_haste:
            return queue.units > 0
        loop = asyncio.get_running_loop()
        if loop.time() >= queue.due:
            return True
        if queue.due < math.inf and queue.timer is None:
            queue.timer = loop.call_at(queue.due, self._ring, queue)
        return False

    def _ring(self, queue: StageQueue) -> None:
        queue.timer = None
        self.start_due()

    def _is_free(self, queue: StageQueue) -> bool:
        return all(self._busy[name] < self.runtime.members[name].most_calls for name in queue.members)

    def _start(self, queue: StageQueue) -> None:
        self._busy.update(queue.members)
        task = asyncio.get_running_loop().create_task(self._run(queue.take()))
        self._running.add(task)
        task.add_done_callback(lambda done: self._ended(done, queue.members))

    def _ended(self, task: asyncio.Task[None], members: Sequence[str]) -> None:
        self._running.discard(task)
        self._busy.subtract(members)
        self.start_due()

    def _forget_empty(self) -> None:
        for key, queue in [*self.queues.items()]:
            if not queue.units:
                queue.stop()
                del self.queues[key]
