"""Calls of members, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError
from wisecommittee.runtime.attempts import Attempts, Reply, TimeOut
from wisecommittee.runtime.escalation import Group
from wisecommittee.runtime.members import Member
from wisecommittee.runtime.replies import Given, divided, failure, given, is_endured
from wisecommittee.runtime.rows import count, slices, unit

if TYPE_CHECKING:
    from wisecommittee.runtime.runtime import Runtime


def call(name: str, member: Member, inputs: Any, batch_size: int) -> list[Reply]:
    """What a member gives for n units, in calls of at most `batch_size`.

    Raises
    ------
    UsageError
        It is a coroutine function.
    """
    return [reply for rows, part in parts(member, inputs, batch_size) for reply in _replies(name, member, rows, part)]


def ran(runtime: Runtime, group: Group) -> list[Group]:
    """The units after the stage that they wait for, divided by the members that failed.

    Raises
    ------
    MemberError
        A member failed, and units of the runtime do not go on without it.
    """
    batch, new = group.batch, dict[str, Given]()
    for name in batch.committee.stages[group.stage] if group.route else ():
        replies = call(name, runtime.members[name], runtime.inputs_of(name, batch.inputs), runtime.batch_size)
        new[name] = given(name, replies, batch, new)
        for reply in new[name].failures:
            if not (runtime.escalates and is_endured(reply)):
                raise failure(reply, group.stage)
    return [replace(group, batch=part) for part in divided(batch, new)] if new else [group]


def parts(member: Member, inputs: Any, batch_size: int) -> Iterator[tuple[NDArray[np.int64], Any]]:
    """Positions of units, and the inputs of the call for them."""
    if member.each:
        yield from ((np.array([row]), unit(inputs, row)) for row in range(count(inputs)))
        return
    done = 0
    for part in slices(inputs, member.batch_size or batch_size):
        rows = np.arange(done, done := done + count(part))
        yield rows, part


def _replies(name: str, member: Member, rows: NDArray[np.int64], inputs: Any) -> list[Reply]:
    attempts = Attempts(name, member, rows)
    while True:
        try:
            return attempts.accepted(_called(name, member, inputs))
        except Exception as error:
            pause = attempts.refused(error)
            if pause is None:
                return [attempts.given_up(error)]
        time.sleep(pause)


def _called(name: str, member: Member, inputs: Any) -> Any:
    """What a call returns; TimeOut if it takes too long: it goes on in its thread then."""
    if member.timeout is None:
        given = member.call(inputs)
    else:
        from concurrent.futures import wait

        from wisecommittee.runtime.threads import Threads

        threads = Threads()
        future = threads.submit(member.call, inputs)
        threads.close()
        wait([future], member.timeout)
        if not future.done():
            raise TimeOut
        given = future.result()
    if hasattr(given, "__await__"):
        if hasattr(given, "close"):
            given.close()
        raise UsageError(f"{name}: a coroutine function; await Runtime.decide(..), or use Queues")
    return given
