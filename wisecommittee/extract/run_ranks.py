"""Several processes on one split, on GPUs or machines of their own: who does what, and when all have done it.

Started by torchrun, every rank runs the same call on its own consecutive batches and writes its own parts; rank 0
commits once all have finished. Where torch.distributed is initialised they talk through it (whoever initialised it
also destroys it, or torch may abort the process at its end); else, by RANK and WORLD_SIZE alone, through the store's
files.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import distributed

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import StoreError, UsageError, WiseCommitteeError
from wisecommittee.store.writer import Plan, Writer

POLL = 0.2  # seconds between two looks at the files of other ranks
PATIENCE = 60.0  # seconds of waiting before saying so
RANK_WAIT = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who we are among how many. group : how the ranks talk; None for a single one, or through files."""

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def writer_options(self) -> dict[str, Any]:
        return {"rank": self.rank, "ranks": self.count} if self.count > 1 else {}

    def shard(self, units: int | None, batch_size: int) -> range:
        """Our units: whole batches of consecutive ones, so order and bits are those of a single process.

        A single process takes them all, known or not.
        """
        if self.count == 1:
            return range(units if units is not None else 1 << 62)
        assert units is not None
        batches = -(-units // batch_size)
        first, last = (min(units, -(-batches * r // self.count) * batch_size) for r in (self.rank, self.rank + 1))
        return range(first, last)

    def gather(self, value: Any) -> list[Any] | None:
        """The value of every rank; None where ranks only meet in the store."""
        if self.count == 1:
            return [value]
        if self.group is None:
            return None
        found: list[Any] = [None] * self.count
        try:
            distributed.all_gather_object(found, value, group=self.group)
        except RuntimeError as error:
            raise WiseCommitteeError(
                f"rank {self.rank} of {self.count}: another rank is gone ({str(error).splitlines()[0][:120]}); "
                f"run all of them again, whole parts are kept"
            ) from error
        return found

    def agree(self, problem: Exception | None) -> None:
        """Raise our problem, or say that another rank had one."""
        problems = self.gather(None if problem is None else str(problem))
        if problem is not None:
            raise problem
        for rank, message in enumerate(problems or []):
            if message is not None:
                raise WiseCommitteeError(f"rank {rank} of {self.count} failed: {message}")

    def commit(self, writers: list[Writer]) -> list[ModelCard]:
        """The cards, once every rank has finished all of these models. Rank 0 commits them."""
        before = [_card(writer) for writer in writers]
        problem: WiseCommitteeError | None = None
        if self.rank == 0:
            try:
                for writer in writers:
                    if self.group is None and self.count > 1:
                        _wait_for(partial(self._unfinished, writer))
                    writer.commit()
            except WiseCommitteeError as error:
                problem = error
        self.agree(problem)
        if self.rank and self.group is None:
            for writer, old in zip(writers, before, strict=True):
                _wait_for(partial(_uncommitted, writer, old))
        return [writer.store.card(writer.card.model, writer.split) for writer in writers]

    def _unfinished(self, writer: Writer) -> list[int]:
        """The other ranks that have not finished this very run of a model."""
        own = _plan(writer, self.rank)
        assert own is not None
        return [
            rank
            for rank in range(self.count)
            if (plan := _plan(writer, rank)) is None or plan.identity != own.identity or plan.finished is None
        ]


@contextlib.contextmanager
def together() -> Iterator[Ranks]:
    """The ranks for the length of a call. Where torch.distributed is initialised every rank has to come here."""
    ranks = find_ranks()
    if ranks.count == 1 or not _is_connected():
        yield ranks
        return
    # A group of its own on the CPU: the default one may be nccl, or in the middle of something.
    group = distributed.new_group(backend="gloo")
    try:
        yield replace(ranks, group=group)
    finally:
        distributed.destroy_process_group(group)


def _is_connected() -> bool:
    return bool(distributed.is_available() and distributed.is_initialized())


def find_ranks() -> Ranks:
    """Who we are, by torch.distributed or else by the environment."""
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


def _plan(writer: Writer, rank: int) -> Plan | None:
    try:
        return Plan.from_bytes(writer.store.files.read(f"{writer.folder}/.writing-{rank}.json"))
    except (FileNotFoundError, StoreError):
        return None


def _card(writer: Writer) -> ModelCard | None:
    return writer.store.committed(writer.split, writer.card.model, replace=True)


def _uncommitted(writer: Writer, old: ModelCard | None) -> list[int]:
    """Rank 0 until there is a card, and not the one that is replaced."""
    return [0] if _card(writer) in (None, old) else []


def _wait_for(missing: Callable[[], list[int]]) -> None:
    """Until missing(), the ranks that are waited for, is empty."""
    started, told = time.monotonic(), False
    while ranks := missing():
        waited = time.monotonic() - started
        shown = ", ".join(map(str, ranks))
        if waited > RANK_WAIT:
            raise WiseCommitteeError(f"rank {shown} has not finished after {waited:.0f} s; run it again")
        if waited > PATIENCE and not told:
            warnings.warn(f"waiting for rank {shown} to finish", stacklevel=2)
            told = True
        time.sleep(POLL)
