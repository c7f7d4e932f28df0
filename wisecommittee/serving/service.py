"""A committee that decides for requests: it reads what they ask, lets their units run together, and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from wisecommittee.errors import OverloadError
from wisecommittee.runtime.queues import Queues
from wisecommittee.serving.answers import answer
from wisecommittee.serving.asked import asked
from wisecommittee.serving.body import Room, Share
from wisecommittee.serving.counts import Counts
from wisecommittee.serving.refusal import Refusal
from wisecommittee.serving.served import Served
from wisecommittee.serving.settings import Settings

AT_ONCE = 1 << 15  # bytes of numbers that are read within the event loop; larger bodies and images in a thread
Result = TypeVar("Result")


class Service:
    """A committee that decides for requests.

    Parameters
    ----------
    served : Served
    settings : Settings
    """

    def __init__(self, served: Served, settings: Settings) -> None:
        self.served, self.settings, self.ready = served, settings, False
        self.queues = Queues(
            served.runtime,
            max_batch=settings.max_batch,
            max_wait_ms=settings.max_wait_ms,
            max_waiting=settings.max_waiting,
            watch=self._ran,
        )
        self.counts = Counts(served.committee, self.waiting)
        self.room = Room()
        self._reader = ThreadPoolExecutor(1, "read")  # one, so that few bodies are unpacked at the same time

    def warm_up(self) -> None:
        """Run every member on a unit and on a full batch; then the service is ready."""
        self.served.warm_up(self.settings.max_batch)
        self.ready = True

    async def decide(
        self, kind: str, body: bytes, unit_ids: Sequence[str], features: str | None, share: Share
    ) -> dict[str, Any]:
        """The answer to a request (answers.py).

        Parameters
        ----------
        kind : str
            Content-Type of the body.
        body : bytes
        unit_ids, features
            Of the query.
        share : Share
            Takes the inputs.

        Raises
        ------
        Refusal
            The request cannot be answered.
        """
        if not self.ready:
            raise Refusal(503, "the members are not warm yet; try again", retry=1)
        most = self.settings.max_waiting
        arguments = (self.served.takes, kind, body, unit_ids, features, most)
        if len(body) <= AT_ONCE and not kind.startswith("image/"):
            units = asked(*arguments)
        else:
            units = await asyncio.get_running_loop().run_in_executor(self._reader, asked, *arguments)
        share.take(units.size)
        try:
            decisions = await self.queues.decide(units.inputs, units.unit_ids, units.features)
        except OverloadError as error:
            raise Refusal(503, str(error), retry=1) from error
        self.counts.answered(decisions)
        return answer(self.served.committee, decisions, units.unit_ids)

    async def close(self) -> None:
        """Give up what is under way."""
        self._reader.shutdown(wait=False, cancel_futures=True)
        await self.queues.close(drain=False)

    def waiting(self) -> int:
        """Units that are accepted and not yet answered."""
        return self.queues.statistics().waiting

    def _ran(self, stage: int, units: int, seconds: float) -> None:
        """A batch has run a stage, from 0."""
        self.counts.batches.observe(units, stage=stage + 1)
        self.counts.stage_seconds.observe(seconds, stage=stage + 1)


async def first_of(work: Awaitable[Result], gone: Awaitable[Any], seconds: float) -> Result | None:
    """The result of the work; None if `gone` ends first. Work that nobody waits for any more is cancelled.

    Refusal (504) after so many seconds.
    """
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise Refusal(504, f"no decision within {seconds:g} s; send fewer units, or try again later")
        return tasks[0].result() if tasks[0] in done else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
