"""How a search is run; the result of a complete search does not depend on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wisecommittee.option_checks import amount, text, whole
from wisecommittee.options import check_fields, described
from wisecommittee.searches.workers.threads import Mapper, Progress, Threads, thread_count

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Execution:
    """Workers, time limit and callbacks of a search."""

    threads: int | None = described(
        None,
        "Threads; the result does not depend on it.",
        shown="WISECOMMITTEE_THREADS, or all cores",
        check=whole(1),
    )
    scheduler: str | None = described(
        None,
        "Address of a dask scheduler, such as tcp://host:8786, whose workers search; or local.",
        shown="this machine",
        check=text,
    )
    time_limit: float | None = described(
        None,
        "Seconds after which the best found so far is the answer; so does Ctrl-C. Single models are always finished.",
        shown="no limit",
        check=amount,
    )
    progress: Progress | None = described(
        None, "Called with a task, the pieces done and the pieces in all.", shown="nobody", command=False
    )
    notify: Notify | None = described(
        None, "Called with a line that says which method runs, before long searches.", shown="nobody", command=False
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def thread_count(self) -> int:
        return thread_count(self.threads)

    def deadline(self) -> float | None:
        """When a search that starts now must end, as of time.time()."""
        return None if self.time_limit is None else time.time() + self.time_limit

    @contextmanager
    def mapper(self, deadline: float | None) -> Iterator[Mapper]:
        """The mapper that runs the chunks of a search."""
        if self.scheduler is None:
            yield Threads(self.thread_count, self.progress, deadline)
            return
        from wisecommittee.searches.workers.cluster import Cluster

        with Cluster(self.scheduler, self.progress, deadline) as cluster:
            yield cluster
