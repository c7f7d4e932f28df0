"""The mappers that run the chunks of a search: threads of this process; cluster.py has the mapper for other machines.

A mapper has `parts`, the number of chunks that work should be cut into, and `map(function, common, chunks, task,
total)`, which yields function(common, chunk, control) for every chunk in order. The result of a search depends neither
on the number of parts nor on the mapper: envelopes merge by a total order.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol

from wisecommittee.errors import UsageError

Progress = Callable[[str, int, int], None]  # task, pieces done, pieces in all
POLL = 0.25  # seconds between two looks at progress and interrupts


class Control:
    """A chunk asks it between two pieces whether to stop. deadline : as of time.time(), or None."""

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline

    def stopped(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline

    def tick(self, pieces: int) -> None:
        """Count pieces that are done."""


class Mapper(Protocol):
    """What runs the chunks of a search."""

    parts: int

    def map(
        self, function: Callable[[Any, Any, Control], Any], common: Any, chunks: Sequence[Any], task: str, total: int
    ) -> Iterator[Any]: ...

    def stop(self) -> None: ...

    def stopped(self) -> bool: ...


class _Shared(Control):
    """The control of threads that share this process."""

    def __init__(self, deadline: float | None) -> None:
        super().__init__(deadline)
        self.event = threading.Event()
        self.lock = threading.Lock()
        self.done = 0

    def stopped(self) -> bool:
        return self.event.is_set() or super().stopped()

    def tick(self, pieces: int) -> None:
        with self.lock:
            self.done += pieces


class Threads:
    """Threads of this process; kernels release the interpreter lock."""

    parts = 16  # fixed, so that work is divided alike for any number of threads

    def __init__(self, threads: int, progress: Progress | None = None, deadline: float | None = None) -> None:
        self.threads, self.progress = threads, progress
        self.control = _Shared(deadline)

    def stop(self) -> None:
        """Begin no further piece; chunks under way return the results of the pieces they have finished."""
        self.control.event.set()

    def stopped(self) -> bool:
        return self.control.stopped()

    @contextmanager
    def until_deadline(self) -> Iterator[threading.Event]:
        """An event that is set by `stop` and at the deadline, for searches that bring their own threads."""
        left = None if self.control.deadline is None else max(0.0, self.control.deadline - time.time())
        timer = None if left is None else threading.Timer(left, self.stop)
        if timer:
            timer.daemon = True
            timer.start()
        try:
            yield self.control.event
        finally:
            if timer:
                timer.cancel()

    def map(
        self, function: Callable[[Any, Any, Control], Any], common: Any, chunks: Sequence[Any], task: str, total: int
    ) -> Iterator[Any]:
        control = self.control
        control.done = 0
        with Workers(self.threads) as workers:
            try:
                futures = [workers.submit(function, common, chunk, control) for chunk in chunks]
                for future in futures:
                    while not future.done():
                        wait([future], POLL)
                        if self.progress:
                            self.progress(task, control.done, total)
                    yield future.result()
                if self.progress:
                    self.progress(task, control.done, total)
            except BaseException:
                self.stop()
                raise


def thread_count(threads: int | None = None) -> int:
    """The given number, WISECOMMITTEE_THREADS, or the cores this process may use."""
    if threads is None:
        named = os.environ.get("WISECOMMITTEE_THREADS")
        if not named:
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if not named.isdigit():
            raise UsageError(f"WISECOMMITTEE_THREADS is {named!r}; expected a number from 1")
        threads = int(named)
    if threads < 1:
        raise UsageError(f"threads {threads}; expected at least 1")
    return threads


class Interrupts:
    """The effect of Ctrl-C during a search. The first Ctrl-C ends the search if it has found nothing yet; otherwise it
    stops the search, whose result is then the best so far. The second Ctrl-C ends it in any case.

    leave : ends the search; by default it raises KeyboardInterrupt. stopping : called by a first Ctrl-C that only stops
    the search, with whether the search had ended before.
    """

    def __init__(
        self, leave: Callable[[], object] | None = None, stopping: Callable[[bool], object] | None = None
    ) -> None:
        self._leave, self._stopping = leave or _interrupt, stopping
        self._stop: Callable[[], None] | None = None
        self._held = self._due = self._searched = False
        self.number, self.early = 0, False  # number of Ctrl-C; whether the first came before the search ended

    def keep(self, stop: Callable[[], None]) -> None:
        """From now on there is something to report: the first Ctrl-C calls `stop`."""
        if self.number and self._stop is None:  # other code has swallowed the exception of `leave`
            self._leave()
        self._stop = stop

    def searched(self) -> None:
        """From now on there is nothing to stop: only the report remains."""
        self._searched = True

    @property
    def keeping(self) -> bool:
        """Whether there is something to report."""
        return self._stop is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block that Ctrl-C does not interrupt; a second Ctrl-C takes effect at the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._due:
                self._leave()

    def __call__(self, number: int, frame: Any) -> None:
        self.number += 1
        if self._held:
            self._due = self.number > 1
        elif self._stop is None or self.number > 1:
            self._leave()
        else:
            self.early = not self._searched
            if self._stopping:
                self._stopping(self._searched)
            self._stop()


def _interrupt() -> None:
    raise KeyboardInterrupt


_active: Interrupts | None = None  # of the main thread, the only one that receives Ctrl-C


@contextmanager
def interruptible(
    leave: Callable[[], object] | None = None, stopping: Callable[[bool], object] | None = None
) -> Iterator[Interrupts]:
    """A block in which Ctrl-C has the effect of `Interrupts`; a nested block shares the Interrupts of the outer one.

    Leaves alone whatever handler the program has set for itself, and threads other than the main one.
    """
    global _active
    ours = threading.current_thread() is threading.main_thread()
    if not ours or _active is not None or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts()
        return
    _active = Interrupts(leave, stopping)
    signal.signal(signal.SIGINT, _active)
    try:
        yield _active
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _active = None


def interrupts() -> Interrupts:
    """The interrupts of the search that runs in the main thread; in another thread, new interrupts that no signal
    reaches."""
    active = _active if threading.current_thread() is threading.main_thread() else None
    return active or Interrupts()


def stop_is_due(deadline: float | None) -> bool:
    """Whether Ctrl-C or the time limit has come. deadline : as of time.time(), or None."""
    return interrupts().number > 0 or (deadline is not None and time.time() >= deadline)


class Watch:
    """Progress of a search that runs in this thread, which has something to report from its start on.

    Parameters
    ----------
    task : str
    total : int
        Pieces in all.
    progress : Progress or None
    deadline : float or None
        As of time.time().
    """

    def __init__(self, task: str, total: int, progress: Progress | None, deadline: float | None) -> None:
        self.task, self.total, self.progress, self.deadline, self.done = task, total, progress, deadline, 0
        interrupts().keep(lambda: None)

    def tick(self) -> bool:
        """Count a piece that is done. Returns whether to go on: False after Ctrl-C or the time limit."""
        self.done += 1
        if self.progress:
            self.progress(self.task, min(self.done, self.total), self.total)
        return not self.stopped

    @property
    def stopped(self) -> bool:
        return stop_is_due(self.deadline)


class Workers(ThreadPoolExecutor):
    """A pool of threads whose end is awaited, except after Ctrl-C: compiling a kernel takes up to half a minute."""

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.shutdown(wait=kind not in (KeyboardInterrupt, GeneratorExit), cancel_futures=kind is not None)
