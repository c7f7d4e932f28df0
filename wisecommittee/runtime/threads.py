"""Threads for calls that block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

Task = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Threads that are made as calls need them, and kept for later calls.

    A thread whose call does not return is not waited for: it is a daemon, and the next call gets another thread.
    """

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Task | None]] = []
        self._closed = False

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a call in a thread. Its future holds what it returns, or an Exception."""
        future: Future[Any] = Future()
        if self._idle:
            tasks = self._idle.pop()
        else:
            tasks = SimpleQueue()
            threading.Thread(target=self._work, args=(tasks,), daemon=True, name="wisecommittee member").start()
        tasks.put((future, call, arguments))
        return future

    def close(self) -> None:
        """End the threads that have nothing to do, and the others after their calls."""
        self._closed = True
        while self._idle:
            self._idle.pop().put(None)

    def _work(self, tasks: SimpleQueue[Task | None]) -> None:
        while (task := tasks.get()) is not None:
            future, call, arguments = task
            future.set_running_or_notify_cancel()
            try:
                result, error = call(*arguments), None
            except BaseException as raised:
                # a future that raised StopIteration or SystemExit would end the coroutine or the loop that awaits it
                through = isinstance(raised, Exception) and not isinstance(raised, StopIteration)
                result, error = None, raised if through else RuntimeError(f"{type(raised).__name__}: {raised}")
            if self._closed:
                tasks.put(None)
            else:
                self._idle.append(tasks)
            if future.running():
                future.set_exception(error) if error is not None else future.set_result(result)
            del task, future, call, arguments, result, error
