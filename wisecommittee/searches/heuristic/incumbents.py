"""The best cascades found so far, one for every number of correct units, and the counting that finds better ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels import envelope as envelopes
from wisecommittee.kernels.envelope import UNREACHED, Corners, Envelope, steps
from wisecommittee.searches.grid.candidates import TieOrder, filled_up
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.heuristic.batch import Stages, batches
from wisecommittee.searches.heuristic.neighbours import Combination
from wisecommittee.searches.heuristic.space import Extensions, Outcome, SearchSpace
from wisecommittee.searches.stages.stage_tables import correct_key
from wisecommittee.searches.workers.threads import Workers

CHUNKS = 8  # private envelopes of a batch; fixed, so that work is divided alike for any number of threads


class Sweep(Protocol):
    """Many thresholds of the extensions of one head."""

    extensions: Extensions

    @property
    def vectors(self) -> int:
        """How many vectors of thresholds the sweep counts."""

    def count(self, ranks: NDArray[np.int64], envelope: Envelope) -> None:
        """Offer all of them to an envelope. ranks : int64 [m] ranks of the extensions in the order of ties."""

    def values(self, entry: int, level: int) -> tuple[float, ...]:
        """The thresholds behind a level index of this extension."""


@dataclass(frozen=True, slots=True)
class Incumbent:
    """A point of the envelope: tiers, thresholds, and for each threshold the number of units below it among all
    units."""

    sequence: Combination
    values: tuple[float, ...]
    below: tuple[int, ...]
    worst: int


class Incumbents:
    """The envelope of all cascades counted so far, with the cascade that reaches each of its points."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, pool = space, space.pool
        assert pool.task.width == 1
        self.best = pool.task.scale * pool.units
        self.cost = np.full(self.best + 1, UNREACHED, np.int64)
        self.holder = np.full(self.best + 1, -1, np.int64)  # index into `cascades` at each step of the envelope
        self.cascades: list[Incumbent] = []
        self.visited: set[Combination] = set()
        self.vectors = 0
        self.ties = TieOrder.of(pool)

    @property
    def held(self) -> NDArray[np.int64]:
        """Indices into `cascades` of the points of the envelope, by rising cost."""
        return self.holder[steps(self.cost)]

    def outcome(self) -> Outcome:
        points: list[Point] = [(self.cascades[i].sequence, self.cascades[i].values) for i in self.held]
        return Outcome(points, len(self.visited), self.vectors)

    def by_sequence(self, points: Iterable[int]) -> dict[Combination, list[Incumbent]]:
        out: dict[Combination, list[Incumbent]] = {}
        for i in points:
            out.setdefault(self.cascades[i].sequence, []).append(self.cascades[i])
        return out

    def sweep(
        self,
        name: str,
        every: Iterable[Extensions],
        make: Callable[[Stages, Extensions], Sweep],
        *,
        stoppable: bool = True,
    ) -> None:
        """Count the sweeps of all these extensions, in batches whose stage tables fit in memory; ends early when `stop`
        is set."""
        pool, stop = self.space.pool, self.space.stop
        # Successive extensions in this order share prefixes.
        tasks = sorted((e for e in every if len(e.lasts)), key=lambda e: (correct_key(pool, e.head), e.head))
        done = 0
        for batch in batches(tasks, [(3 * len(e.lasts) + 40 * len(e.head)) * pool.units for e in tasks]):
            if stoppable and stop.is_set():
                return
            prefixes = {prefix for e in batch for prefix in e.prefixes}
            sequences = [sequence for e in batch for sequence in e.sequences]
            stages = Stages(pool, prefixes, sequences, self.space.threads)
            sweeps = [make(stages, e) for e in batch]
            self._fold(stages, sweeps, sequences, stoppable)
            if stoppable and stop.is_set():
                return
            self.visited.update(sequences)
            self.vectors += sum(sweep.vectors for sweep in sweeps)
            done += len(batch)
            if stoppable:
                self.space.report(name, done, len(tasks))

    def _fold(self, stages: Stages, sweeps: Sequence[Sweep], sequences: Sequence[Combination], stoppable: bool) -> None:
        """Run the sweeps on private envelopes, merge these, and keep the cascades of the new points."""
        held = self.held
        worst = np.concatenate([sweep.extensions.worst for sweep in sweeps])
        starts = np.cumsum([0, *(len(sweep.extensions.lasts) for sweep in sweeps)])
        every = [self.cascades[i].sequence for i in held] + list(sequences)
        costs = np.r_[np.array([self.cascades[i].worst for i in held], np.int64), worst]
        order = self.ties.argsort(filled_up(every), costs)
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        holders = np.full(self.best + 1, -1, np.int64)
        holders[steps(self.cost)] = ranks[: len(held)]
        before = Envelope(self.cost, holders, np.zeros(self.best + 1, np.int64))
        whole = before.copy()

        def chunk(indices: Sequence[int]) -> Corners:
            envelope = before.copy()
            for index in indices:
                if stoppable and self.space.stop.is_set():
                    break
                sweeps[index].count(ranks[len(held) :][starts[index] : starts[index + 1]], envelope)
            return envelope.corners()

        with Workers(self.space.threads) as workers:
            for corners in workers.map(chunk, [range(i, len(sweeps), CHUNKS) for i in range(min(CHUNKS, len(sweeps)))]):
                envelopes.merge(whole, corners)
        self.cost, rank, level = whole
        self.holder = np.full(self.best + 1, -1, np.int64)
        known: dict[tuple[int, int], int] = {}
        for a in steps(self.cost):
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
                known[witness] = len(self.cascades)
                self.cascades.append(Incumbent(sequence, values, below, int(worst[entry])))
            self.holder[a] = known[witness]
