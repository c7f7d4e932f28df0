"""Rows on their way to the store, checked and compressed during the next forward pass."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.store.writer import Writer

WAITING = 4  # batches that may wait; more would only take memory


class Outbox:
    """Appends rows to writers in the order given, on a thread of its own.

    An error of a writer is raised by the next `put` or by `close`. After another error or Ctrl-C, waiting batches are
    still written: they may complete a part, which the next run keeps.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Any, ...] | None] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def put(
        self, writer: Writer, unit_ids: list[str], labels: NDArray[np.generic], logits: NDArray[np.float32]
    ) -> None:
        """Hand over a batch; blocks while too many batches wait. The caller must not change the arrays afterwards."""
        if self._thread is None:  # not earlier: the loading processes are forked from a process without it
            self._thread = threading.Thread(target=self._run, name="wisecommittee-outbox", daemon=True)
            self._thread.start()
        self._raise()
        self._waiting.put((writer, unit_ids, labels, logits))

    def close(self) -> None:
        """Wait until everything is with the writers."""
        self._stop()
        self._raise()

    def _stop(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is None:  # after an error the rest is taken and dropped, so that `put` never blocks
                writer, *rows = item
                try:
                    writer.append(*rows)
                except BaseException as error:
                    self._error = error
