"""Bodies of requests, read within limits: of one body, and of the memory that all requests take together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from wisecommittee.serving.refusal import Refusal

ROOM = 1 << 30  # bytes that bodies and inputs of all requests under way take at most


class Room:
    """Memory that requests take together. most : bytes."""

    def __init__(self, most: int = ROOM) -> None:
        self.most, self.taken = most, 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """The share of a request, which is given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.taken -= share.taken


class Share:
    """The part of a room that a request takes."""

    def __init__(self, room: Room) -> None:
        self.room, self.taken = room, 0

    def take(self, size: int) -> None:
        """Take so many bytes more; Refusal (503) if there is no room for them."""
        if self.room.taken + size > self.room.most:
            raise Refusal(503, "too many large requests at the same time; try again", retry=1)
        self.taken += size
        self.room.taken += size


async def read_body(
    chunks: AsyncIterator[bytes], announced: str | None, share: Share, *, largest: int, seconds: float
) -> bytes:
    """The body of a request.

    Parameters
    ----------
    chunks : async iterator of bytes
    announced : str or None
        Its Content-Length, if there is one.
    share : Share
        Takes what is read.
    largest : int
        Bytes at most, whatever is announced.
    seconds : float
        Longest time until all of it is there.

    Raises
    ------
    Refusal
        413 for a larger body, as soon as that is known; 408 if it is not there in time; 503 without room for it.
    """
    too_large = Refusal(413, f"a body of more than {largest / 1e6:g} MB; send fewer units at a time")
    if announced is not None and announced.isdecimal() and (len(announced) > 18 or int(announced) > largest):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in chunks:
                if len(body) + len(chunk) > largest:
                    raise too_large
                share.take(len(chunk))
                body += chunk
    except TimeoutError:
        raise Refusal(408, f"the body was not there after {seconds:g} s; send it at once") from None
    return bytes(body)
