"""Search of pools too large for the whole grid: prefixes grown one member at a time, then refined. Not certified.

Pairs are exhaustive and exact. From then on a beam of heads, each the first members of a cascade, is extended by every
model. The last three thresholds of an extension are swept jointly on a coarse grid (kernels/beam.py), earlier ones stay
among the few states that served the head best. An extension counts by how far it gets beyond what shorter committees
reach at the same cost; the beam keeps the best in each of several bands of cost, so it serves the whole frontier and no
single target. What is on the envelope is then refined until nothing improves: each threshold over all its values with
the others fixed, members swapped, inserted, removed and exchanged with their neighbours, and the last three thresholds
jointly on a fine grid of gain confidences (see kernels/exact.py) around those in use.

Every cascade that is offered is counted exactly, so the envelope is reached; that nothing beats it is not proved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError, UsageError
from wisecommittee.kernels import beam, grid
from wisecommittee.search.exhaustive import Point, corners
from wisecommittee.search.moves import Members, Slots, moved
from wisecommittee.search.stages import LEVELS, Stages, batches, level_places
from wisecommittee.search.tables import Pool, Progress, correct_key
from wisecommittee.tasks import Segmentation

WIDTH = 512  # heads kept at each size
BANDS = 16  # of cost, on a logarithmic scale
SLACK = 200  # an extension that stays more than 1/200 of all units behind shorter committees is not grown
STATES = 8  # vectors of thresholds before the last three that a head keeps
SEEDS, ROUNDS, PASSES = 64, 8, 12  # sequences whose neighbours one round tries; rounds; passes over thresholds
SWEPT = 3  # thresholds the kernel sweeps jointly
FINE = 96  # levels of a stage in the last joint sweep
NEAR = 12  # extensions of each size and band that take part in it beside what is or was on the envelope
CHUNKS = 8  # private envelopes of a batch; fixed, so that work is divided alike for any number of threads

Envelope = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Work = Callable[[Envelope], None]


def beam_points(
    pool: Pool,
    *,
    max_models: int,
    levels: int,
    replicas: str,
    max_worst: int | None,
    threads: int,
    progress: Progress | None,
    stop: threading.Event,
    width: int = WIDTH,
) -> tuple[list[Point], dict[str, Any]]:
    """Non-dominated cascades by rising cost, and what was searched.

    levels : of a stage in the joint sweep, at most LEVELS; thresholds are refined over all values anyway.
    max_worst : limit in pool.cost units on the cost of all members. stop : set from outside, the best so far is
    returned. width : heads kept at each size.
    """
    if width < 1:
        raise UsageError(f"width {width}; expected at least 1")
    search = BeamSearch(pool, max_models, min(levels, LEVELS), replicas, max_worst, threads, progress, stop)
    search.run(width)
    return search.points(), search.searched("beam")


@dataclass(frozen=True, slots=True)
class Task:
    """A head and the models that extend it.

    lasts : int64 [m]; cumulative : int64 [m, k + 1] cost of the first 1..k+1 members; states : thresholds before the
    last SWEPT, as numbers of units below them among all units (N: nobody exits).
    """

    head: Members
    lasts: NDArray[np.int64]
    cumulative: NDArray[np.int64]
    states: tuple[tuple[int, ...], ...] = ((),)


@dataclass(frozen=True, slots=True)
class Grown:
    """Extensions of one size, with how far each gets beyond what shorter committees reach at the same cost.

    sequences : int64 [n, size]; task_of : int64 [n] index of its head in tasks; lead : int64 [n, BANDS] in units of
    quality; reached : int64 [n, BANDS] level index of that cell, -1 where it stays SLACK behind.
    """

    sequences: NDArray[np.int64]
    tasks: list[Task]
    task_of: NDArray[np.int64]
    lead: NDArray[np.int64]
    reached: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """A point of the envelope: members, thresholds, and for each the number of units below it among all."""

    sequence: Members
    values: tuple[float, ...]
    below: tuple[int, ...]
    worst: int


class BeamSearch:
    """The envelope of everything counted so far, with a witness at each of its points."""

    def __init__(
        self,
        pool: Pool,
        max_models: int,
        levels: int,
        replicas: str,
        max_worst: int | None,
        threads: int,
        progress: Progress | None,
        stop: threading.Event,
    ) -> None:
        if pool.cost.per_unit is not None:
            raise UsageError(
                f"the beam needs a cost that is the same for every unit; {pool.cost.name} varies. "
                f"Choose models with --models, so that the exhaustive search fits"
            )
        self.pool, self.longest, self.levels = pool, max_models, max(2, levels)
        self.max_worst, self.threads, self.progress, self.stop = max_worst, threads, progress, stop
        self.slots = Slots.of(pool, replicas)
        assert not isinstance(pool.task, Segmentation)
        self.best = int(pool.task.scale) * pool.units
        self.least = -1 - self.best // SLACK
        self.cost = np.full(self.best + 1, grid.UNREACHED, np.int64)
        self.holder = np.full(self.best + 1, -1, np.int64)  # index into found at every corner
        self.found: list[Found] = []
        self.visited: set[Members] = set()
        self.refined: set[int] = set()  # points whose thresholds were moved
        self.near: dict[Members, list[tuple[int, ...]]] = {}  # thresholds of the best extensions, as units below
        self.vectors = 0
        self.places = level_places(pool.units, self.levels)

    def points(self) -> list[Point]:
        held = [self.found[i] for i in self.holder[corners(self.cost)]]
        return [(f.sequence, f.values) for f in held]

    def searched(self, method: str) -> dict[str, Any]:
        return {
            "method": method,
            "certified": False,
            "combinations": len(self.visited),
            "threshold_vectors": self.vectors,
        }

    def run(self, width: int) -> None:
        """Singles and pairs, the beam, the refinement; ends early with what it has when `stop` is set."""
        self._singles()
        if self.longest > 1:
            self._pairs()
        if self.longest > 2:
            tasks = [self._task(s) for s in sorted(self.visited) if len(s) == 1]
            for size in range(2, self.longest + 1):
                grown = self._grow(tasks, f"committees of {size}")
                if self.stop.is_set():
                    return
                self._remember(grown)
                tasks = self._select(grown, width) if size < self.longest else []
            self._refine()

    # What is tried

    def _task(self, head: Members, lasts: Sequence[int] | None = None, states: Iterable[tuple[int, ...]] = ()) -> Task:
        """head with these last members, or with all it can have, as far as the worst case allows."""
        allowed = np.array(self.slots.extensions(head) if lasts is None else lasts, np.int64)
        sequences = np.column_stack([np.tile(np.array(head, np.int64), (len(allowed), 1)), allowed])
        cumulative = self.pool.cost.cumulative(sequences)
        if self.max_worst is not None:
            keep = cumulative[:, -1] <= self.max_worst
            allowed, cumulative = allowed[keep], cumulative[keep]
        outer = max(0, len(head) - SWEPT)
        some = tuple(dict.fromkeys(s[:outer] for s in states))[:STATES]
        return Task(head, allowed, cumulative, some or ((self.pool.units,) * outer,))

    def _singles(self) -> None:
        starts = np.array(self.slots.extensions(()), np.int64)
        worst = self.pool.cost.worst(starts[:, None])
        if self.max_worst is not None:
            keep = worst <= self.max_worst
            if not keep.any():
                true = self.pool.cost.true
                raise InfeasibleError(
                    f"no committee costs at most {true(self.max_worst):.6g} {self.pool.cost.name} in the worst case; "
                    f"the cheapest model costs {true(int(worst.min())):.6g}"
                )
            starts, worst = starts[keep], worst[keep]
        singles: list[Members] = [(int(m),) for m in starts]
        stages = Stages(self.pool, (), singles, self.threads)
        ranks, order = self._ranks(singles, worst)
        works = [
            partial(self._offer_single, stages, single, int(each) * self.pool.units, int(rank))
            for single, each, rank in zip(singles, worst, ranks, strict=True)
        ]
        self._fold(works, order, singles, worst, stages, lambda entry, level: (), stoppable=False)
        self.visited.update(singles)
        self.vectors += len(singles)

    @staticmethod
    def _offer_single(stages: Stages, single: Members, cost: int, rank: int, envelope: Envelope) -> None:
        grid.offer(*envelope, int(stages.correct(single).sum(dtype=np.int64)), cost, rank, 0)

    def _pairs(self) -> None:
        """Every pair with every threshold."""
        points: list[tuple[Members, tuple[float, ...]]] = []
        for head in sorted(self.visited):
            task = self._task(head)
            points += [((*head, int(m)), (float("inf"),)) for m in task.lasts]
        self._lines(points, "pairs")

    def _select(self, grown: Grown, width: int) -> list[Task]:
        """The beam: the best of each band of cost, then the best of the rest."""
        names = grown.sequences.T[::-1]
        chosen: dict[int, None] = {}
        if len(grown.sequences) <= width:
            chosen.update(dict.fromkeys(range(len(grown.sequences))))
        else:
            for band in range(BANDS):
                order = np.lexsort((*names, -grown.lead[:, band]))[: max(1, width // BANDS)]
                chosen.update(dict.fromkeys(order[grown.reached[order, band] >= 0].tolist()))
            top = grown.lead.max(axis=1)
            for i in np.lexsort((*names, -top)).tolist():
                if len(chosen) >= width or top[i] <= self.least:
                    break
                chosen[i] = None
        out = []
        for i in sorted(chosen):
            task = grown.tasks[grown.task_of[i]]
            levels = self._levels(task)
            states = [self._below(task, levels, int(level)) for level in grown.reached[i] if level >= 0]
            out.append(self._task(tuple(grown.sequences[i].tolist()), None, states))
        return out

    def _remember(self, grown: Grown) -> None:
        """The best extensions of each band, whose coarse levels may have missed the envelope by a little."""
        names = grown.sequences.T[::-1]
        for band in range(BANDS):
            for i in np.lexsort((*names, -grown.lead[:, band]))[:NEAR].tolist():
                task, level = grown.tasks[grown.task_of[i]], int(grown.reached[i, band])
                if level >= 0:
                    below = self._below(task, self._levels(task), level)
                    self.near.setdefault(tuple(grown.sequences[i].tolist()), []).append(below)

    def _refine(self) -> None:
        expanded: set[Members] = set()
        for number in range(ROUNDS):
            self._ascend()
            held = self._by_sequence(self._held().tolist())
            seeds = sorted((s for s in held if len(s) > 1 and s not in expanded), key=lambda s: (-len(held[s]), s))
            if not seeds or self.stop.is_set():
                break
            seeds = seeds[:SEEDS]
            expanded.update(seeds)
            heads: dict[Members, dict[int, None]] = {}
            states: dict[Members, dict[tuple[int, ...], None]] = {}
            for seed in seeds:
                for sequence, q, longer in self.slots.neighbours(seed, self.longest):
                    if sequence in self.visited or len(sequence) < 2:
                        continue
                    head = sequence[:-1]
                    heads.setdefault(head, {})[sequence[-1]] = None
                    if len(head) > SWEPT:
                        below = (moved(f.below, q, longer, self.pool.units) for f in held[seed])
                        states.setdefault(head, {}).update(dict.fromkeys(below))
            tasks = [self._task(h, sorted(lasts), _spread(list(states.get(h, ())))) for h, lasts in heads.items()]
            self._grow(tasks, f"neighbours {number + 1}")
        self._ascend()
        self._polish(everything=True)
        self._ascend()
        self._polish(everything=False)
        self._ascend()

    def _by_sequence(self, points: Iterable[int]) -> dict[Members, list[Found]]:
        out: dict[Members, list[Found]] = {}
        for i in points:
            out.setdefault(self.found[i].sequence, []).append(self.found[i])
        return out

    def _polish(self, everything: bool) -> None:
        """The last thresholds of what is on the envelope, jointly on fine levels; everything : and of what was on it or
        came near."""
        found = self._by_sequence(range(len(self.found)) if everything else self._held().tolist())
        used = {s: [f.below for f in points] for s, points in found.items() if len(s) > 2}
        if everything:
            for s, below in self.near.items():
                used.setdefault(s, []).extend(below)
            used = {s: below for s, below in used.items() if len(s) > 2}
        sequences = sorted(used)
        for batch in batches(sequences, [len(s) * 40 * self.pool.units for s in sequences]):
            if self.stop.is_set():
                return
            stages = Stages(self.pool, {s[:k] for s in batch for k in range(1, len(s))}, batch, self.threads)
            tasks = [self._task(s[:-1], s[-1:], _spread(used[s])) for s in batch]
            levels = [self._fine_levels(stages, s, used[s]) for s in batch]
            worst = np.array([t.cumulative[0, -1] for t in tasks], np.int64)
            ranks, rank_order = self._ranks(batch, worst)
            never = np.full((1, BANDS), self.best + 1, np.int64)  # nothing is ahead of this: leads are not asked for
            scale = self._scale()
            works = [
                partial(self._extend, t, stages, some, ranks[i : i + 1], scale, never, never)
                for i, (t, some) in enumerate(zip(tasks, levels, strict=True))
            ]
            decode = partial(self._on_grid, stages, tasks, levels, np.arange(len(batch) + 1))
            self._fold(works, rank_order, batch, worst, stages, decode)
            for task, some in zip(tasks, levels, strict=True):
                self.vectors += len(task.states) * int(np.prod([len(x) + 1 for x in some]))
        self._report("polish", len(sequences), len(sequences))

    def _fine_levels(self, stages: Stages, sequence: Members, used: list[tuple[int, ...]]) -> list[NDArray[np.int64]]:
        """Just above the gain confidences of each swept stage, as numbers of units below; around the points in use
        where there are more than FINE."""
        correct = [stages.correct(sequence[:k]).astype(np.int64) for k in range(1, len(sequence) + 1)]
        out: list[NDArray[np.int64]] = []
        best = correct[-1]
        for k in range(len(sequence) - 2, max(-1, len(sequence) - 2 - SWEPT), -1):
            order = stages.order[stages.row(sequence[: k + 1])]
            numbers = stages.numbers(sequence[: k + 1])[order]
            gains = np.unique(numbers[(best - correct[k])[order] > 0])
            below = np.unique(np.searchsorted(numbers, gains, side="right"))
            if len(below) > FINE:
                here = [b[k] for b in used]
                near = below[(below >= 0.5 * min(here)) & (below <= 1.5 * max(here))]
                below = near if len(near) else below
                below = below[np.unique(np.linspace(0, len(below) - 1, FINE).astype(np.int64))]
            out.insert(0, below[below < self.pool.units])
            best = np.maximum(best, correct[k])
        return out

    def _ascend(self) -> None:
        """Move each threshold of the envelope's points over all its values until none of them improves."""
        for _ in range(PASSES):
            held = [int(i) for i in self.holder[corners(self.cost)]]
            fresh = [i for i in held if i not in self.refined and len(self.found[i].sequence) > 1]
            if not fresh or self.stop.is_set():
                return
            self.refined.update(fresh)
            self._lines([(self.found[i].sequence, self.found[i].values) for i in fresh], "thresholds")

    # How it is counted

    def _ranks(
        self, sequences: Sequence[Members], worst: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ranks of a batch's sequences in the order of ties among themselves and the envelope's holders (fewer members,
        less worst case, names), and the entry at each rank: holders come first, as indices of found, then the batch."""
        held = [self.found[i] for i in self._held()]
        every = [f.sequence for f in held] + list(sequences)
        names = np.full((len(every), max(map(len, every))), -1, np.int64)
        for size in {len(s) for s in every}:
            rows = [i for i, s in enumerate(every) if len(s) == size]
            names[rows, :size] = [every[i] for i in rows]
        costs = np.r_[np.array([f.worst for f in held], np.int64), worst]
        order = np.lexsort((*names.T[::-1], costs, (names >= 0).sum(axis=1)))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks[len(held) :], order

    def _held(self) -> NDArray[np.int64]:
        return self.holder[corners(self.cost)]

    def _fold(
        self,
        works: Sequence[Work],
        order: NDArray[np.int64],
        sequences: Sequence[Members],
        worst: NDArray[np.int64],
        stages: Stages,
        decode: Callable[[int, int], tuple[float, ...]],
        stoppable: bool = True,
    ) -> None:
        """Run the work of a batch on private envelopes, merge them, and write down the new witnesses.

        decode : (index of the sequence in the batch, level index) -> thresholds
        """
        held = self._held()
        ranks = np.full(self.best + 1, -1, np.int64)
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.arange(len(order))
        ranks[corners(self.cost)] = inverse[: len(held)]
        start: Envelope = (self.cost, ranks, np.zeros(self.best + 1, np.int64))
        whole: Envelope = (start[0].copy(), start[1].copy(), start[2].copy())

        def chunk(some: Sequence[Work]) -> Envelope:
            own: Envelope = (start[0].copy(), start[1].copy(), start[2].copy())
            for work in some:
                if stoppable and self.stop.is_set():
                    break
                work(own)
            return own

        with ThreadPoolExecutor(self.threads) as workers:
            try:
                for own in workers.map(chunk, [works[i::CHUNKS] for i in range(min(CHUNKS, len(works)))]):
                    grid.merge(*whole, *own)
            except BaseException:
                workers.shutdown(cancel_futures=True)
                raise
        cost, rank, level = whole
        self.cost = cost
        holder = np.full(self.best + 1, -1, np.int64)
        known: dict[tuple[int, int], int] = {}
        for a in corners(cost):
            entry = int(order[rank[a]])
            if entry < len(held):
                holder[a] = held[entry]
                continue
            entry -= len(held)
            place = (entry, int(level[a]))
            if place not in known:
                sequence, values = sequences[entry], decode(*place)
                below = tuple(stages.below(sequence[: k + 1], v) for k, v in enumerate(values))
                known[place] = len(self.found)
                self.found.append(Found(sequence, values, below, int(worst[entry])))
            holder[a] = known[place]
        self.holder = holder

    def _report(self, task: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(task, done, total)

    def _lines(self, points: list[tuple[Members, tuple[float, ...]]], name: str) -> None:
        """Each threshold of each point over all values it can take, the others fixed."""
        grouped: dict[Members, list[tuple[float, ...]]] = {}
        for sequence, values in points:
            grouped.setdefault(sequence, []).append(values)
        sequences = sorted(grouped)
        done = 0
        for batch in batches(sequences, [len(s) * 40 * self.pool.units for s in sequences]):
            if self.stop.is_set():
                return
            prefixes = {s[:k] for s in batch for k in range(1, len(s))}
            stages = Stages(self.pool, prefixes, batch, self.threads)
            for prefix in prefixes:
                stages.numbers(prefix)
            cumulative = [self.pool.cost.cumulative(np.array(s)[None])[0] for s in batch]
            worst = np.array([c[-1] for c in cumulative], np.int64)
            ranks, order = self._ranks(batch, worst)
            works = [
                partial(self._line, stages, s, grouped[s], charge, int(rank))
                for s, charge, rank in zip(batch, cumulative, ranks, strict=True)
            ]
            decode = partial(self._on_line, stages, batch, [grouped[s] for s in batch])
            self._fold(works, order, batch, worst, stages, decode)
            if self.stop.is_set():
                return
            self.visited.update(batch)
            self.vectors += sum(len(grouped[s]) * (len(s) - 1) * (self.pool.units + 1) for s in batch)
            done += len(batch)
            self._report(name, done, len(sequences))

    def _line(
        self,
        stages: Stages,
        sequence: Members,
        vectors: list[tuple[float, ...]],
        cumulative: NDArray[np.int64],
        rank: int,
        envelope: Envelope,
    ) -> None:
        """The kernel over every threshold of each vector of one cascade."""
        k, units = len(sequence), self.pool.units
        numbers = np.stack([stages.numbers(sequence[:j]) for j in range(1, k)])
        correct = np.stack([stages.correct(sequence[:j]) for j in range(1, k + 1)]).astype(np.int32)
        orders = [stages.order[stages.row(sequence[:j])] for j in range(1, k)]
        gain, extra = np.empty(units, np.int64), np.empty(units, np.int64)
        for v, values in enumerate(vectors):
            fixed = np.array([stages.number(sequence[: j + 1], x) for j, x in enumerate(values)], np.int64)
            for q in range(k - 1):
                first = (v * (k - 1) + q) * (units + 2)
                beam.sweep_line(
                    orders[q], numbers, correct, cumulative, fixed, q, rank, first, gain, extra, *envelope
                )  # fmt: skip

    def _on_line(
        self,
        stages: Stages,
        batch: list[Members],
        vectors: list[list[tuple[float, ...]]],
        entry: int,
        level: int,
    ) -> tuple[float, ...]:
        """The thresholds behind a level index of `_line`."""
        index, number = divmod(level, self.pool.units + 2)
        v, q = divmod(index, len(batch[entry]) - 1)
        values = list(vectors[entry][v])
        values[q] = stages.distinct(batch[entry][: q + 1], number)
        return tuple(values)

    def _scale(self) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
        """What the envelope reaches now at each bucket of cost, the number of the first bucket, the band of each."""
        at = self.cost[corners(self.cost)]
        bits = np.array([max(1, at[0]), max(1, at[-1])], np.float32).view(np.int32) >> beam.BUCKET_BITS
        first, buckets = int(bits[0]), int(bits[1] - bits[0]) + 1
        edges = ((np.arange(buckets, dtype=np.int32) + np.int32(first)) << beam.BUCKET_BITS).view(np.float32)
        expected = np.maximum(np.searchsorted(self.cost, edges.astype(np.float64), side="right") - 1, 0)
        return expected.astype(np.int64), first, np.arange(buckets) * BANDS // buckets

    def _grow(self, tasks: list[Task], name: str) -> Grown:
        """Sweep the extensions of these heads."""
        tasks = sorted((t for t in tasks if len(t.lasts)), key=lambda t: (correct_key(self.pool, t.head), t.head))
        scale = self._scale()
        sizes = [len(t.lasts) for t in tasks]
        lead = np.full((sum(sizes), BANDS), self.least, np.int64)
        reached = np.full((sum(sizes), BANDS), -1, np.int64)
        every: list[Members] = []
        done = 0
        for batch in batches(tasks, [(3 * len(t.lasts) + 40 * len(t.head)) * self.pool.units for t in tasks]):
            if self.stop.is_set():
                break
            scored = {t.head[:k] for t in batch for k in range(1, len(t.head) + 1)}
            sequences: list[Members] = [(*t.head, m) for t in batch for m in t.lasts.tolist()]
            stages = Stages(self.pool, scored, sequences, self.threads)
            for prefix in scored:
                stages.bins(prefix, self.places)
            worst = np.concatenate([t.cumulative[:, -1] for t in batch])
            ranks, order = self._ranks(sequences, worst)
            starts = np.r_[0, np.cumsum([len(t.lasts) for t in batch])]
            works = []
            for task, a, b in zip(batch, starts, starts[1:], strict=False):
                here = slice(len(every) + a, len(every) + b)
                levels = self._levels(task)
                works.append(partial(self._extend, task, stages, levels, ranks[a:b], scale, lead[here], reached[here]))
            decode = partial(self._on_grid, stages, batch, [self._levels(t) for t in batch], starts)
            self._fold(works, order, sequences, worst, stages, decode)
            if self.stop.is_set():
                break
            every += sequences
            self.visited.update(sequences)
            cells = [len(t.lasts) * len(t.states) * self.levels ** min(len(t.head), SWEPT) for t in batch]
            self.vectors += sum(cells)
            done += len(batch)
            self._report(name, done, len(tasks))
        longest = max(map(len, every), default=1)
        if any(len(s) < longest for s in every):
            every = []  # neighbours of several sizes: nobody asks for their leads
        n = len(every)
        of = np.repeat(np.arange(len(tasks)), sizes)[:n]
        return Grown(np.array(every, np.int64).reshape(n, longest), tasks, of, lead[:n], reached[:n])

    def _levels(self, task: Task) -> list[NDArray[np.int64]]:
        """The finite levels of the joint sweep at each swept stage, as numbers of units below them."""
        return [self.places] * min(len(task.head), SWEPT)

    def _on_grid(
        self,
        stages: Stages,
        batch: list[Task],
        levels: list[list[NDArray[np.int64]]],
        starts: NDArray[np.int64],
        entry: int,
        level: int,
    ) -> tuple[float, ...]:
        """The thresholds behind a level index of `_extend`."""
        place = int(np.searchsorted(starts, entry, side="right")) - 1
        task = batch[place]
        below = self._below(task, levels[place], level)
        return tuple(stages.value(task.head[: k + 1], b) for k, b in enumerate(below))

    def _below(self, task: Task, levels: list[NDArray[np.int64]], level: int) -> tuple[int, ...]:
        """The thresholds behind a level index, as numbers of units below them."""
        swept: list[int] = []
        for some in reversed(levels):
            level, place = divmod(level, len(some) + 1)
            swept.insert(0, int(some[place]) if place < len(some) else self.pool.units)
        return (*task.states[level], *swept)

    def _extend(
        self,
        task: Task,
        stages: Stages,
        levels: list[NDArray[np.int64]],
        ranks: NDArray[np.int64],
        scale: tuple[NDArray[np.int64], int, NDArray[np.int64]],
        lead: NDArray[np.int64],
        reached: NDArray[np.int64],
        envelope: Envelope,
    ) -> None:
        """The kernel over the last thresholds of one head, for each of its states."""
        head, k = task.head, len(task.head)
        inner = min(k, SWEPT)
        padding, outer = SWEPT - inner, k - inner
        units = self.pool.units
        right = [stages.correct(head[: j + 1]) for j in range(k)]
        extended = stages.extended(head, task.lasts)
        fee = np.diff(task.cumulative[0, :k], prepend=0)
        last_cost = task.cumulative[:, k] - task.cumulative[:, k - 1]
        shape = (*[1] * padding, *[len(some) + 1 for some in levels])
        size = int(np.prod(shape))
        radix = np.array([shape[1] * shape[2], shape[2]], np.int64)
        counts, gains = np.empty(size, np.int32), np.empty(size, np.int32)
        base, spent = np.empty(shape[:2], np.int64), np.empty(shape[:2], np.int64)
        for s, state in enumerate(task.states):
            continues = np.ones(units, dtype=bool)
            settled_correct = settled_cost = 0
            for j in range(outer):
                settled_cost += int(fee[j]) * int(continues.sum())
                score = stages.tables.score[stages.row(head[: j + 1])]
                exits = continues & (score >= np.float32(stages.value(head[: j + 1], state[j])))
                settled_correct += int(right[j][exits].sum(dtype=np.int64))
                continues &= ~exits
            some = np.flatnonzero(continues) if outer else slice(None)
            waiting = int(continues.sum())
            nobody = np.zeros(waiting, np.int32)
            nothing = np.zeros(waiting, np.int64)
            b1, b2, b3 = [nobody] * padding + [
                stages.bins(head[: j + 1], levels[j - outer])[some] for j in range(outer, k)
            ]
            c1, c2, c3 = [nothing] * padding + [right[j][some].astype(np.int64) for j in range(outer, k)]
            w1, w2, w3 = [0] * padding + fee[outer:].tolist()
            each = np.ones(waiting, np.int64)
            grid.pair_table(b1, b2, c2 - c1, c3 - c2, settled_correct + int(c1.sum()), base)
            grid.pair_table(b1, b2, each * w2, each * w3, settled_cost + w1 * waiting, spent)
            cells = ((b1 * shape[1] + b2) * shape[2] + b3).astype(np.int32)
            beam.grow(
                cells, c3.astype(np.int32), extended[:, some] if outer else extended, base, spent, last_cost, ranks,
                s * size, radix, shape, counts, gains, *scale, lead, reached, *envelope,
            )  # fmt: skip


def _spread(states: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """At most STATES of them, evenly over their order."""
    states = sorted(states)
    return [states[i * len(states) // STATES] for i in range(STATES)] if len(states) > STATES else states
