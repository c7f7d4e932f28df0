"""The chunks of a search on the workers of a dask.distributed cluster.

The data that all chunks need (stage tables as bins, correctness, costs) are sent once and fetched by the workers from
each other. Chunks of combinations are sent, and their envelopes come back and merge by the total order, so the
frontier is bit for bit that of local threads. A chunk whose worker dies runs again on another one, and data that only
that worker held are computed again.
"""

from __future__ import annotations

import contextlib
import warnings
from asyncio import CancelledError as AsyncCancelledError
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

from wisecommittee.errors import WiseCommitteeError, option
from wisecommittee.searches.workers.threads import POLL, Control, Progress

TRIES = 5  # resubmissions of a chunk, beyond those that the scheduler makes when workers die
PARTS_PER_THREAD = 8
CONNECT = 10.0  # seconds for the scheduler to answer
WAIT = 60.0  # seconds for the first worker to appear


def hold(value: Any) -> Any:
    """On a worker: keep the data that all chunks need."""
    return value


def run_chunk(name: str, shared: Any, common: Any, chunk: Any, control: Control) -> Any:
    """On a worker: call a method of the shared object on a chunk."""
    return getattr(shared, name)(common, chunk, control)


class Cluster:
    """A mapper (see threads.py) over the workers of a dask scheduler; 'local' starts two processes on this machine."""

    def __init__(self, address: str, progress: Progress | None = None, deadline: float | None = None) -> None:
        from distributed import Client, LocalCluster

        self.progress, self.deadline, self._stopped = progress, deadline, False
        self._sent: dict[
            int, tuple[Any, Any]
        ] = {}  # {id: (value, future)}; the value stays alive, so that its id is not reused
        self._cluster = None
        if address == "local":
            self._cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
        try:
            self.client = Client(self._cluster or address, timeout=CONNECT, set_as_default=False)
            self.client.wait_for_workers(1, timeout=WAIT)
        except (OSError, TimeoutError) as error:
            self.close()
            raise WiseCommitteeError(
                f"no workers behind {address!r} ({type(error).__name__}: {error}); start `dask scheduler` and "
                f"`dask worker {address}`, or try {option('scheduler')} local"
            ) from error
        threads = sum(worker["nthreads"] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values())
        self.parts = max(16, PARTS_PER_THREAD * threads)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        for part in (getattr(self, "client", None), self._cluster):
            if part is not None:
                with contextlib.suppress(OSError, TimeoutError):
                    part.close()

    def stop(self) -> None:
        """Give up the chunks that have not come back; they count as unfinished."""
        self._stopped = True

    def stopped(self) -> bool:
        return self._stopped or Control(self.deadline).stopped()

    def map(
        self, function: Callable[[Any, Any, Control], Any], common: Any, chunks: Sequence[Any], task: str, total: int
    ) -> Iterator[Any]:
        """function : a bound method of an object that pickles. Yields the result of each chunk; (None, 0) for a chunk
        that was given up."""
        from distributed import wait

        shared = self._send(function.__self__)  # type: ignore[attr-defined]
        rest = (function.__name__, shared, self._send(common))
        control = Control(self.deadline)
        futures = [self._submit(run_chunk, *rest, chunk, control) for chunk in chunks]
        tries = [0] * len(chunks)
        for index, chunk in enumerate(chunks):
            while not self._stopped and (status := futures[index].status) != "finished":
                if status == "pending":
                    with (
                        contextlib.suppress(TimeoutError, CancelledError, AsyncCancelledError),
                        self.client.as_current(),
                    ):
                        wait([futures[index]], timeout=POLL)
                    self._tell(task, futures, total)
                elif tries[index] < TRIES:  # its workers died too often, or its data were lost
                    tries[index] += 1
                    self.client.wait_for_workers(1, timeout=WAIT)
                    futures[index] = self._submit(run_chunk, *rest, chunk, control)
                else:
                    futures[index].result()  # raises the error
            yield futures[index].result() if futures[index].status == "finished" else (None, 0)
        self._tell(task, futures, total)
        self.client.cancel([future for future in futures if future.status == "pending"])

    def _send(self, value: Any) -> Any:
        """A future of this value. The scheduler keeps its task and computes a lost value again."""
        if id(value) not in self._sent:
            self._sent[id(value)] = (value, self._submit(hold, value))
        return self._sent[id(value)][1]

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(function, *arguments, pure=False)

    def _tell(self, task: str, futures: Sequence[Any], total: int) -> None:
        if self.progress:
            done = sum(future.status == "finished" for future in futures)
            self.progress(task, total * done // max(1, len(futures)), total)
