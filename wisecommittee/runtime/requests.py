"""Requests that wait for their decisions. Every unit has an index of its own among all units of all requests."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.walk import Exits
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.gathering import Gathering

NOBODY = -1  # in place of the first index of a request


@dataclass(frozen=True, slots=True)
class Request:
    """A request: its decisions so far, and the future of all of them."""

    gathering: Gathering
    future: asyncio.Future[Decisions]


class Requests:
    """The requests that are accepted and not yet answered."""

    def __init__(self) -> None:
        self._next = 0
        self._starts: list[int] = []  # ascending
        self._by_start: dict[int, Request] = {}
        self.units = 0  # that have not exited

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __iter__(self) -> Iterator[Request]:
        return iter([*self._by_start.values()])

    def next_index(self, units: int) -> int:
        """The index of the first of so many new units."""
        self._next += units
        return self._next - units

    def add(self, gathering: Gathering) -> Request:
        request = Request(gathering, asyncio.get_running_loop().create_future())
        self._starts.append(gathering.start)
        self._by_start[gathering.start] = request
        self.units += gathering.left
        return request

    def remove(self, request: Request) -> bool:
        """Forget a request, whatever became of it; whether it was known."""
        start = request.gathering.start
        if self._by_start.pop(start, None) is None:
            return False
        del self._starts[bisect_right(self._starts, start) - 1]
        self.units -= request.gathering.left
        return True

    def owner(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n]: the first index of the request of each unit; NOBODY if it is gone."""
        owners = []
        for unit in index.tolist():
            at = bisect_right(self._starts, unit) - 1
            start = self._starts[at] if at >= 0 else NOBODY
            there = start != NOBODY and unit < start + len(self._by_start[start].gathering.stage)
            owners.append(start if there else NOBODY)
        return np.array(owners, np.int64)

    def of(self, index: NDArray[np.int64]) -> list[Request]:
        """The requests of these units that are not gone."""
        return [self._by_start[start] for start in np.unique(self.owner(index)).tolist() if start != NOBODY]

    def answer(self, exits: Exits[RuntimeBatch], classes: tuple[str, ...] | None) -> None:
        """Units that exit: requests all of whose units have exited get their decisions."""
        owner = self.owner(exits.batch.index[exits.rows])
        for request in self.of(exits.batch.index[exits.rows]):
            mine = owner == request.gathering.start
            answer = None if exits.answer is None else exits.answer[mine]
            request.gathering.put(exits._replace(rows=exits.rows[mine], answer=answer))
            self.units -= int(mine.sum())
            if not request.gathering.left:
                self.remove(request)
                if not request.future.done():
                    request.future.set_result(request.gathering.decisions(classes))
