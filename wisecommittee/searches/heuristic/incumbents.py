"""The best cascades found so far, one for every number of correct units, and the counting that finds better ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.sweeps import grid
from wisecommittee.searches.grid.sweep import Envelope, Point, copied, corners
from wisecommittee.searches.heuristic.batch import Stages, batches
from wisecommittee.searches.heuristic.neighbours import Walk
from wisecommittee.searches.heuristic.space import Extensions, Outcome, Scope
from wisecommittee.searches.stages.stage_tables import correct_key
from wisecommittee.searches.workers.threads import Workers

CHUNKS = 8  # private envelopes of a batch; fixed, so that work is divided alike for any number of threads


class Sweep(Protocol):
    """Many thresholds of the extensions of one head."""

    extensions: Extensions

    @property
    def vectors(self) -> int:
        """How many vectors of thresholds it stands for."""

    def count(self, ranks: NDArray[np.int64], envelope: Envelope) -> None:
        """Offer them to an envelope. ranks : int64 [m] in the order of ties."""

    def values(self, entry: int, level: int) -> tuple[float, ...]:
        """The thresholds behind a level index of this extension."""


@dataclass(frozen=True, slots=True)
class Incumbent:
    """A point of the envelope: tiers, thresholds, and for each the number of units below it among all."""

    sequence: Walk
    values: tuple[float, ...]
    below: tuple[int, ...]
    worst: int


class Incumbents:
    """The envelope of everything counted so far, with a witness at each of its points."""

    def __init__(self, scope: Scope) -> None:
        self.scope, pool = scope, scope.pool
        assert pool.task.width == 1
        self.best = pool.task.scale * pool.units
        self.cost = np.full(self.best + 1, grid.UNREACHED, np.int64)
        self.holder = np.full(self.best + 1, -1, np.int64)  # index into found where the envelope steps
        self.found: list[Incumbent] = []
        self.visited: set[Walk] = set()
        self.vectors = 0
        tiers = pool.tiers or tuple((m,) for m in range(len(pool.cards)))
        self._sizes = np.array([*map(len, tiers), 0])
        self._names = np.append(np.argsort(sorted(range(len(tiers)), key=lambda t: tiers[t])), -1)

    @property
    def held(self) -> NDArray[np.int64]:
        """Indices into found of the points of the envelope, by rising cost."""
        return self.holder[corners(self.cost)]

    def outcome(self) -> Outcome:
        points: list[Point] = [(self.found[i].sequence, self.found[i].values) for i in self.held]
        return Outcome(points, len(self.visited), self.vectors)

    def by_sequence(self, points: Iterable[int]) -> dict[Walk, list[Incumbent]]:
        out: dict[Walk, list[Incumbent]] = {}
        for i in points:
            out.setdefault(self.found[i].sequence, []).append(self.found[i])
        return out

    def sweep(
        self,
        name: str,
        every: Iterable[Extensions],
        make: Callable[[Stages, Extensions], Sweep],
        *,
        stoppable: bool = True,
    ) -> None:
        """Count all of these, in batches whose stage tables fit the memory; ends early when `stop` is set."""
        pool, stop = self.scope.pool, self.scope.stop
        # Neighbours in this order share prefixes.
        tasks = sorted((e for e in every if len(e.lasts)), key=lambda e: (correct_key(pool, e.head), e.head))
        done = 0
        for batch in batches(tasks, [(3 * len(e.lasts) + 40 * len(e.head)) * pool.units for e in tasks]):
            if stoppable and stop.is_set():
                return
            prefixes = {prefix for e in batch for prefix in e.prefixes}
            sequences = [sequence for e in batch for sequence in e.sequences]
            stages = Stages(pool, prefixes, sequences, self.scope.threads)
            sweeps = [make(stages, e) for e in batch]
            self._fold(stages, sweeps, sequences, stoppable)
            if stoppable and stop.is_set():
                return
            self.visited.update(sequences)
            self.vectors += sum(sweep.vectors for sweep in sweeps)
            done += len(batch)
            if stoppable:
                self.scope.report(name, done, len(tasks))

    def _fold(self, stages: Stages, sweeps: Sequence[Sweep], sequences: Sequence[Walk], stoppable: bool) -> None:
        """Run these sweeps on private envelopes, merge them, and write down the new witnesses."""
        held = self.held
        worst = np.concatenate([sweep.extensions.worst for sweep in sweeps])
        starts = np.cumsum([0, *(len(sweep.extensions.lasts) for sweep in sweeps)])
        order = self._order([self.found[i] for i in held], sequences, worst)
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        holders = np.full(self.best + 1, -1, np.int64)
        holders[corners(self.cost)] = ranks[: len(held)]
        before: Envelope = (self.cost, holders, np.zeros(self.best + 1, np.int64))
        whole = copied(before)

        def chunk(places: Sequence[int]) -> Envelope:
            own = copied(before)
            for place in places:
                if stoppable and self.scope.stop.is_set():
                    break
                sweeps[place].count(ranks[len(held) :][starts[place] : starts[place + 1]], own)
            return own

        with Workers(self.scope.threads) as workers:
            for own in workers.map(chunk, [range(i, len(sweeps), CHUNKS) for i in range(min(CHUNKS, len(sweeps)))]):
                grid.merge(*whole, *own)
        self.cost, rank, level = whole
        self.holder = np.full(self.best + 1, -1, np.int64)
        known: dict[tuple[int, int], int] = {}
        for a in corners(self.cost):
            entry = int(order[rank[a]])
            if entry < len(held):
                self.holder[a] = held[entry]
                continue
            entry -= len(held)
            witness = entry, int(level[a])
            if witness not in known:
                place = int(np.searchsorted(starts, entry, side="right")) - 1
                sequence, values = sequences[entry], sweeps[place].values(entry - int(starts[place]), witness[1])
                below = tuple(stages.below(sequence[: k + 1], v) for k, v in enumerate(values))
                known[witness] = len(self.found)
                self.found.append(Incumbent(sequence, values, below, int(worst[entry])))
            self.holder[a] = known[witness]

    def _order(
        self, held: Sequence[Incumbent], sequences: Sequence[Walk], worst: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Indices of what is held and then of these sequences in the order of ties: fewer members, fewer stages, less
        worst case, names stage by stage."""
        every = [one.sequence for one in held] + list(sequences)
        tiers = np.full((len(every), max(map(len, every))), -1, np.int64)
        for size in {len(s) for s in every}:
            rows = [i for i, s in enumerate(every) if len(s) == size]
            tiers[rows, :size] = [every[i] for i in rows]
        costs = np.r_[np.array([one.worst for one in held], np.int64), worst]
        members, stages = self._sizes[tiers].sum(axis=1), (tiers >= 0).sum(axis=1)
        return np.lexsort((*self._names[tiers].T[::-1], costs, stages, members))
