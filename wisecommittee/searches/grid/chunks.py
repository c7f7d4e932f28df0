"""Candidates cut into chunks, which threads or machines work on, and the folding of their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.workers.threads import Control, Mapper

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Groups of sequences, one group after the other.

    sequences : int64 [n, size]; ranks : int64 [n] in the order of ties; starts : int64 [g + 1] where groups start
    """

    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def cut(cls, c: Candidates, number: int, *, grouped: bool = True) -> list[Chunk]:
        """Candidates dealt to `number` chunks at most, cheapest groups first, so that the envelope prunes early.

        grouped : a group is all sequences that share all stages but the last; else every sequence by itself
        """
        starts = np.arange(len(c.sequences)) if not grouped else np.array([0])
        if grouped and c.size > 1:
            heads = c.sequences[:, :-1]
            starts = np.flatnonzero(np.r_[True, (heads[1:] != heads[:-1]).any(axis=1)])
        stops = np.r_[starts[1:], len(c.sequences)]
        order = np.argsort(np.minimum.reduceat(c.ranks, starts), kind="stable")
        chunks = []
        for i in range(min(number, len(starts))):
            groups = order[i::number]
            sizes = (stops - starts)[groups]
            begins = np.r_[0, np.cumsum(sizes)]
            rows = np.repeat(starts[groups] - begins[:-1], sizes) + np.arange(begins[-1])
            chunks.append(cls(c.sequences[rows], c.ranks[rows], begins))
        return chunks

    def __len__(self) -> int:
        """How many groups."""
        return len(self.starts) - 1

    def size(self, group: int) -> int:
        return int(self.starts[group + 1] - self.starts[group])

    def from_group(self, group: int) -> list[tuple[int, ...]]:
        """The sequences of this group and all later ones."""
        return [tuple(row) for row in self.sequences[self.starts[group] :].tolist()]


def run_chunks(
    mapper: Mapper,
    candidates: Iterable[Candidates],
    work: Callable[[Any, Chunk, Control], tuple[Result, int]],
    *,
    before: Callable[[], Any],
    fold: Callable[[Result], None],
    task: Callable[[int], str],
    grouped: bool = True,
) -> list[tuple[int, ...]]:
    """Work on all candidates, size by size; returns the sequences that a stop has left unfinished.

    work : (what `before` returns, chunk, control) -> result and how many groups of the chunk are finished
    fold : takes each result, in the order of the chunks; task : the name of the work on a size, for progress
    """
    unfinished: list[tuple[int, ...]] = []
    for c in candidates:
        chunks = Chunk.cut(c, mapper.parts, grouped=grouped)
        done = mapper.map(work, before(), chunks, task(c.size), len(c.sequences))
        for chunk, (result, finished) in zip(chunks, done, strict=True):
            if result is not None:
                fold(result)
            unfinished += chunk.from_group(finished)
    return unfinished


def sweep_task(size: int) -> str:
    """The name, for progress, of the sweep of all thresholds of cascades of `size` stages."""
    return f"thresholds, {size} stage{'s' if size > 1 else ''}"
