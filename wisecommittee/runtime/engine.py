"""Runs the units of requests: a batch of a stage at a time, and on to the next stages or to the decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wisecommittee.committees.walk import entering
from wisecommittee.errors import OverloadError
from wisecommittee.runtime.async_calls import Caller
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.escalation import Group, decided
from wisecommittee.runtime.gathering import Gathering
from wisecommittee.runtime.replies import Given, divided, failure, given, is_endured
from wisecommittee.runtime.requests import NOBODY, Request, Requests
from wisecommittee.runtime.schedule import Schedule, Waits
from wisecommittee.runtime.tally import Tally

if TYPE_CHECKING:
    from wisecommittee.runtime.runtime import Runtime


class Engine:
    """The requests, the queues before the stages, and the callers of the members.

    Parameters
    ----------
    runtime : Runtime
    waits : Waits
    tally : Tally
    """

    def __init__(self, runtime: Runtime, waits: Waits, tally: Tally) -> None:
        self.runtime, self.requests, self._tally = runtime, Requests(), tally
        self.schedule = Schedule(runtime, waits, self._run)
        self._callers = {name: Caller(runtime, name, tally) for name in runtime.members}

    async def decisions(self, gathering: Gathering, batch: RuntimeBatch) -> Decisions:
        """The decisions of a request; if it is cancelled, its units leave the queues. batch : its units."""
        request = self.requests.add(gathering)
        try:
            for group in entering(self.runtime.committee, batch):
                self._send([group] if group.route else decided(group)[1])
            self.schedule.start_due()
            return await request.future
        finally:
            self._leave(request)

    async def close(self, *, drain: bool) -> None:
        """End when every request is answered, or with drain=False at once."""
        self.schedule.in_haste = True
        try:
            if drain and self.requests:
                self.schedule.start_due()
                await asyncio.wait([request.future for request in self.requests])
        finally:
            for request in self.requests:
                self._fail(request, OverloadError("the queues were closed before the request was answered"))
            await self.schedule.stop()
            for caller in self._callers.values():
                caller.close()

    async def _run(self, group: Group) -> None:
        """Run a stage for a batch, and send its units on; whatever is raised ends the requests of the batch."""
        try:
            for part in await self._stage(group):
                exits, ahead = decided(part)
                if exits is not None:
                    self._tally.exited(exits)
                    self.requests.answer(exits, self.runtime.classes)
                self._send(ahead)
        except Exception as error:
            for request in self.requests.of(group.batch.index):
                self._fail(request, error)

    async def _stage(self, group: Group) -> list[Group]:
        """The units after the stage, divided by the members that failed."""
        batch, runtime = group.batch, self.runtime
        owner, members = self.requests.owner(batch.index), batch.committee.stages[group.stage]
        started = asyncio.get_running_loop().time()
        replies = await asyncio.gather(*(self._callers[name](batch.inputs, owner) for name in members))
        new = dict[str, Given]()
        for name, each in zip(members, replies, strict=True):
            new[name] = given(name, each, batch, new)
            for reply in new[name].failures:
                if not (runtime.escalates and is_endured(reply)):
                    for request in self.requests.of(batch.index[reply.rows]):
                        self._fail(request, failure(reply, group.stage))
        self._tally.ran(members, new, len(batch), asyncio.get_running_loop().time() - started)
        return [replace(group, batch=part) for part in divided(batch, new)]

    def _send(self, groups: Sequence[Group]) -> None:
        """Units into the queues of their next stages; those of requests that are gone are left out."""
        for group in groups:
            there = self.requests.owner(group.batch.index) != NOBODY
            if there.all():
                self.schedule.put(group)
            elif there.any():
                self.schedule.put(replace(group, batch=group.batch.only(np.flatnonzero(there))))

    def _fail(self, request: Request, error: Exception) -> None:
        """End a request with an error; its other units leave the queues."""
        if not request.future.done():
            request.future.set_exception(error)
        self._leave(request)

    def _leave(self, request: Request) -> None:
        """The units of a request that have not started leave the queues."""
        if self.requests.remove(request):
            self.schedule.leave_out(request.gathering.index)
