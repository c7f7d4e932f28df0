"""Calls of members in an event loop: coroutine functions are awaited, others run in threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.runtime.attempts import Attempts, Reply, TimeOut
from wisecommittee.runtime.calls import parts
from wisecommittee.runtime.members import Member
from wisecommittee.runtime.rows import taken
from wisecommittee.runtime.tally import Tally
from wisecommittee.runtime.threads import Threads

if TYPE_CHECKING:
    from wisecommittee.runtime.runtime import Runtime

OF_OTHERS = (TimeOut, OSError)  # errors of a service or of the network, whatever the inputs


class Caller:
    """Calls a member of a runtime, at most `Member.most_calls` times at once.

    Parameters
    ----------
    runtime : Runtime
    name : str
    tally : Tally
        Counts its failed calls.
    """

    def __init__(self, runtime: Runtime, name: str, tally: Tally) -> None:
        self.runtime, self.name, self._tally = runtime, name, tally
        self.member: Member = runtime.members[name]
        self.threads = None if self.member.is_coroutine else Threads()
        self._room = asyncio.Semaphore(self.member.most_calls)

    def close(self) -> None:
        """End its threads; one whose call does not return is left alone."""
        if self.threads is not None:
            self.threads.close()

    async def __call__(self, inputs: Any, owner: NDArray[np.int64]) -> list[Reply]:
        """What the member gives for the n units of a batch; owner : int64 [n], the request of each unit.

        Where a call fails for units of several requests, and not for want of a service, the units of each request are
        called by themselves: one request's inputs must not spoil another's.
        """
        replies: list[Reply] = []
        for reply in await self._batch(inputs, np.arange(len(owner))):
            owners = np.unique(owner[reply.rows])
            if reply.outputs is not None or len(owners) == 1 or _is_of_others(reply.error):
                replies.append(reply)
                continue
            alone = [reply.rows[owner[reply.rows] == each] for each in owners]
            again = await asyncio.gather(*(self._batch(taken(inputs, rows), rows) for rows in alone))
            replies += [each for some in again for each in some]
        return replies

    async def _batch(self, inputs: Any, rows: NDArray[np.int64]) -> list[Reply]:
        """rows : int64 [n], the positions of the inputs in their batch."""
        try:
            mine = await self._prepared(inputs)
            pieces = list(parts(self.member, mine, self.runtime.batch_size))
        except Exception as error:
            return [Attempts(self.name, self.member, rows).given_up(error)]
        if len(pieces) == 1:
            return await self._replies(rows, pieces[0][1])
        calls = await asyncio.gather(*(self._replies(rows[at], part) for at, part in pieces))
        return [reply for replies in calls for reply in replies]

    async def _prepared(self, inputs: Any) -> Any:
        """The inputs as the member takes them; preprocessing runs in a thread."""
        if self.threads is None or not self.runtime.preprocesses:
            return self.runtime.inputs_of(self.name, inputs)
        return await asyncio.wrap_future(self.threads.submit(self.runtime.inputs_of, self.name, inputs))

    async def _replies(self, rows: NDArray[np.int64], inputs: Any) -> list[Reply]:
        attempts = Attempts(self.name, self.member, rows)
        failure: Exception
        while True:
            try:
                async with self._room:
                    given = await self._called(inputs)
                return attempts.accepted(given)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                failure = RuntimeError(f"the call was cancelled: {error}")  # by the callable itself
            except Exception as error:
                failure = error
            pause = attempts.refused(failure)
            self._tally.called(self.name, again=pause is not None)
            if pause is None:
                return [attempts.given_up(failure)]
            await asyncio.sleep(pause)

    async def _called(self, inputs: Any) -> Any:
        """What a call returns; TimeOut if it takes too long: in a thread it goes on then."""
        try:
            async with asyncio.timeout(self.member.timeout) as limit:
                if self.threads is None:
                    return await self.member.call(inputs)
                given = await asyncio.wrap_future(self.threads.submit(self.member.call, inputs))
                return await given if hasattr(given, "__await__") else given
        except TimeoutError as error:
            if limit.expired():
                raise TimeOut from error
            raise


def _is_of_others(error: Exception | None) -> bool:
    """Whether an error has other reasons than the inputs: a service that is away, or too slow."""
    cause = None if error is None else error.__cause__
    return isinstance(cause, OF_OTHERS)
