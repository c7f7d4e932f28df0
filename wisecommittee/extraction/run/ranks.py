"""Several processes on one split, each on its GPU or machine: which units each extracts, and when all are done.

Started by torchrun, every rank runs the same call on its own consecutive batches and writes its own parts; rank 0
commits once all have finished. They communicate through torch.distributed, which is connected here unless it is
already. A rank that dies ends the others; started again, all continue after their whole parts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import UsageError, WiseCommitteeError, first_line
from wisecommittee.store.writer import Writer

PATIENCE = timedelta(days=1)  # longest wait of the first rank for the last; torch's half an hour is too short
_meetings = itertools.count()  # connections of this process; all ranks count alike


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's rank and the number of ranks. group : the process group they talk through, None for one rank."""

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def writer_options(self) -> dict[str, Any]:
        return {"rank": self.rank, "ranks": self.count} if self.count > 1 else {}

    def shard(self, units: int | None, batch_size: int) -> range:
        """The units of this rank: whole batches of consecutive units, so that order and bits are as in one process.

        A single process takes all units, even where their number is not known.
        """
        if self.count == 1:
            return range(units if units is not None else 1 << 62)
        assert units is not None
        batches = -(-units // batch_size)
        first, last = (min(units, -(-batches * r // self.count) * batch_size) for r in (self.rank, self.rank + 1))
        return range(first, last)

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        try:
            distributed.all_gather_object(values, value, group=self.group)
        except RuntimeError as error:
            raise WiseCommitteeError(
                f"rank {self.rank} of {self.count}: another rank is gone ({first_line(error)}); "
                f"run all of them again, whole parts are kept"
            ) from error
        return values

    def agree(self, problem: Exception | None) -> None:
        """Raise this rank's problem, or an error that names the problem of another rank."""
        problems = self.gather(None if problem is None else str(problem))
        if problem is not None:
            raise problem
        for rank, message in enumerate(problems):
            if message is not None:
                raise WiseCommitteeError(f"rank {rank} of {self.count} failed: {message}")

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
        """A block that succeeds on every rank, or raises on every rank."""
        problem: Exception | None = None
        try:
            yield
        except Exception as error:
            problem = error
        self.agree(problem)

    def commit(self, writers: list[Writer]) -> list[StoredCard]:
        """The cards, once every rank has finished all of these models. Rank 0 commits them."""
        problem: WiseCommitteeError | None = None
        if self.rank == 0:
            try:
                for writer in writers:
                    writer.commit()
            except WiseCommitteeError as error:
                problem = error
        self.agree(problem)
        return [writer.committed() for writer in writers]


@contextlib.contextmanager
def together() -> Iterator[Ranks]:
    """The ranks, connected for the length of a call; every rank has to enter."""
    ranks = find_ranks()
    if ranks.count == 1:
        yield ranks
        return
    with connected(ranks):
        # A separate group on the CPU: the default group may be nccl, or busy.
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        try:
            yield replace(ranks, group=group)
        finally:
            distributed.destroy_process_group(group)


@contextlib.contextmanager
def connected(ranks: Ranks, backend: str = "gloo") -> Iterator[None]:
    """A block in which torch.distributed is connected. A connection made here is closed here, or torch may abort the
    process at its end."""
    if _is_connected():
        yield
        return
    if "MASTER_ADDR" not in os.environ or not distributed.is_available():
        raise UsageError(
            f"WORLD_SIZE is {ranks.count}, but nothing says where the ranks meet (MASTER_ADDR); "
            f"start them with torchrun, or unset RANK and WORLD_SIZE"
        )
    # Imported while connected, as by the first optimizer, it keeps the connection in default arguments: gloo's threads
    # then outlive the interpreter, and may abort the process.
    import torch.distributed.nn.functional  # noqa: F401

    try:
        meeting, rank, count = next(distributed.rendezvous("env://"))
        # Keys that an earlier connection left at this address must not be read by this one.
        store = distributed.PrefixStore(f"wisecommittee {next(_meetings)}", meeting)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise WiseCommitteeError(
            f"rank {ranks.rank} of {ranks.count} cannot reach the others ({first_line(error)}); start all with torchrun"
        ) from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _is_connected() -> bool:
    return bool(distributed.is_available() and distributed.is_initialized())


def find_ranks() -> Ranks:
    """This process's rank and the number of ranks, by torch.distributed or else by the environment."""
    if _is_connected():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    try:
        rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        rank, count = -1, 0
    if not 0 <= rank < count:
        raise UsageError(
            f"RANK {os.environ.get('RANK')!r} of WORLD_SIZE {os.environ.get('WORLD_SIZE')!r}; "
            f"expected numbers, the first from 0 and below the second, as torchrun sets them"
        )
    return Ranks(rank, count)


def own_device(device: str) -> str:
    """'auto' and 'cuda' under torchrun: the GPU of this rank."""
    local = os.environ.get("LOCAL_RANK")
    if device in ("auto", "cuda") and local is not None and torch.cuda.is_available():
        return f"cuda:{int(local) % torch.cuda.device_count()}"
    return device
