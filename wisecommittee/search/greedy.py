"""Greedy cascades (Streeter 2018, "Approximation algorithms for cascading prediction models", ICML), over a range of
accuracies: the quick incumbent for any pool.

Published: among the units not answered yet, R, turn every model into one that abstains, with the lowest threshold at
which those it answers are answered at least alpha times as accurately as a reference model answers them. Append the
model with the most units answered per cost, remove these units from R, repeat. For a fixed set of abstaining models and
a decomposable constraint the cost is within a factor of 4 of the least.

Departs: what answers at a stage is the committee's own prefix (the running mean of its members unless `last` is asked
for), as in the paper's version with models generated along the way, where that factor is not proved. The length is
limited, so every stage is also closed by every model, which answers all units that are left; the paper closes with the
reference. alpha runs over a range, the reference is the most accurate single model, and what nothing else dominates is
kept. Thresholds lie at confidences of units, ties are never split.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError
from wisecommittee.search.exhaustive import Point
from wisecommittee.search.moves import Members, Slots
from wisecommittee.search.stages import Stages, batches
from wisecommittee.search.tables import Pool, Progress

TARGETS = 32  # accuracies relative to the reference
HIGHEST = 1.05  # of them: a committee can be better than its best member


@dataclass(frozen=True, slots=True)
class State:
    """A cascade under construction: who still waits (bool [N]), what those who left have correct and have cost."""

    target: float
    sequence: Members
    values: tuple[float, ...]
    waiting: NDArray[np.bool_]
    correct: int
    cost: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A finished cascade with its exact counts; the fields in the order of ties."""

    cost: int
    less_correct: int  # minus the number correct
    members: int
    worst: int
    sequence: Members
    values: tuple[float, ...]


def greedy_points(
    pool: Pool,
    *,
    max_models: int,
    levels: int,
    replicas: str,
    max_worst: int | None,
    threads: int,
    progress: Progress | None,
    stop: threading.Event,
) -> tuple[list[Point], dict[str, Any]]:
    """Non-dominated cascades by rising cost, and what was searched.

    levels : not used, every confidence is a threshold. max_worst : limit in pool.cost units on the cost of all members.
    stop : set from outside, the best so far is returned.
    """
    search = Greedy(pool, Slots.of(pool, replicas), max_worst, threads)
    states = search.start()
    for size in range(1, max_models + 1):
        if not states or stop.is_set():
            break
        if size == max_models:
            search.close(states, stop)
            states = []
        else:
            states = search.step(states, stop)
        if progress:
            progress("greedy", size, max_models)
    searched = {
        "method": "greedy",
        "certified": False,
        "combinations": len(search.sequences),
        "threshold_vectors": search.vectors,
    }
    return search.points(), searched


class Greedy:
    """Cascades counted so far."""

    def __init__(self, pool: Pool, slots: Slots, max_worst: int | None, threads: int) -> None:
        self.pool, self.slots, self.max_worst, self.threads = pool, slots, max_worst, threads
        self.counted: list[Counted] = []
        self.sequences: set[Members] = set()
        self.vectors = 0
        self.reference: NDArray[np.int64] = np.zeros(pool.units, np.int64)

    def start(self) -> list[State]:
        """Every single model is counted; the most accurate becomes the reference. One empty cascade per target."""
        pool = self.pool
        lasts = self.extensions(())
        if not lasts:
            least = min(self.worst((m,)) for m in self.slots.extensions(()))
            assert self.max_worst is not None
            raise InfeasibleError(
                f"no committee costs at most {pool.cost.true(self.max_worst):.6g} {pool.cost.name} in the worst case; "
                f"the cheapest model costs {pool.cost.true(least):.6g}"
            )
        stages = Stages(pool, (), [(m,) for m in lasts], self.threads)
        everybody = np.ones(pool.units, dtype=bool)
        empty = State(1.0, (), (), everybody, 0, 0)
        self._close(empty, stages, lasts)
        best = min(self.counted, key=lambda c: (c.less_correct, c.cost, c.sequence))
        self.reference = stages.correct(best.sequence).astype(np.int64)
        lowest = max(c.less_correct for c in self.counted) / min(-1, best.less_correct)
        return [replace(empty, target=float(t)) for t in np.linspace(min(lowest, 0.95), HIGHEST, TARGETS)]

    def extensions(self, head: Members) -> list[int]:
        lasts = self.slots.extensions(head)
        if self.max_worst is None:
            return lasts
        return [m for m in lasts if self.worst((*head, m)) <= self.max_worst]

    def worst(self, sequence: Members) -> int:
        return int(self.pool.cost.worst(np.array(sequence)[None])[0])

    def marginal(self, sequence: Members, waiting: NDArray[np.bool_]) -> int:
        """What the last member costs on the units that wait for it."""
        cost = self.pool.cost
        if cost.per_unit is not None:
            return int(cost.per_unit[sequence[-1]][waiting].sum())
        cumulative = cost.stages([(m,) for m in sequence])
        return int(np.diff(cumulative, prepend=0)[-1]) * int(np.count_nonzero(waiting))

    def close(self, states: list[State], stop: threading.Event) -> None:
        """Let every model answer all that is left, for each cascade under construction."""
        for head, some in _by_sequence(states).items():
            if stop.is_set():
                return
            lasts = self.extensions(head)
            stages = Stages(self.pool, (), [(*head, m) for m in lasts], self.threads) if lasts else None
            for state in some:
                if stages is not None:
                    self._close(state, stages, lasts)

    def _close(self, state: State, stages: Stages, lasts: list[int]) -> None:
        for m in lasts:
            sequence = (*state.sequence, m)
            correct = state.correct + int(stages.correct(sequence)[state.waiting].sum(dtype=np.int64))
            cost = state.cost + self.marginal(sequence, state.waiting)
            self.counted.append(
                Counted(cost, -correct, len(sequence), self.worst(sequence), sequence, state.values)
            )  # fmt: skip
            self.sequences.add(sequence)
        self.vectors += len(lasts)

    def step(self, states: list[State], stop: threading.Event) -> list[State]:
        """Append the model with most units answered per cost to each cascade, and count all its closures."""
        grown: list[State] = []
        every = _by_sequence(states)
        heads = sorted(every)
        lasts = {head: self.extensions(head) for head in heads}
        for batch in batches(heads, [len(lasts[h]) * 40 * self.pool.units for h in heads]):
            if stop.is_set():
                break
            longer = [(*head, m) for head in batch for m in lasts[head]]
            if not longer:
                continue
            stages = Stages(self.pool, longer, (), self.threads)
            for head in batch:
                for state in every[head]:
                    self._close(state, stages, lasts[head])
                    found = self._best(state, stages, lasts[head])
                    if found is not None and found.waiting.any():
                        grown.append(found)
        return grown

    def _best(self, state: State, stages: Stages, lasts: list[int]) -> State | None:
        """The most units answered per cost, then least cost, then first name; None where nobody can answer."""
        best: tuple[float, int, int] | None = None
        chosen: State | None = None
        for m in lasts:
            sequence = (*state.sequence, m)
            answered, value = self._threshold(state, stages, sequence)
            if not answered:
                continue
            paid = self.marginal(sequence, state.waiting)
            key = (-answered / paid if paid else float("-inf"), paid, m)
            if best is None or key < best:
                score = stages.tables.score[stages.row(sequence)]
                leaves = state.waiting & (score >= np.float32(value))
                correct = state.correct + int(stages.correct(sequence)[leaves].sum(dtype=np.int64))
                best = key
                chosen = State(
                    state.target,
                    sequence,
                    (*state.values, value),
                    state.waiting & ~leaves,
                    correct,
                    state.cost + paid,
                )
        return chosen

    def _threshold(self, state: State, stages: Stages, sequence: Members) -> tuple[int, float]:
        """The most waiting units that may be answered under the target, and the least confidence among them."""
        row = stages.row(sequence)
        order = stages.order[row][::-1]
        order = order[state.waiting[order]]
        score = stages.tables.score[row, order]
        own = np.cumsum(stages.correct(sequence)[order], dtype=np.int64)
        allowed = own >= state.target * np.cumsum(self.reference[order])
        allowed[:-1] &= score[:-1] != score[1:]
        places = np.flatnonzero(allowed)
        if not len(places):
            return 0, float("inf")
        return int(places[-1]) + 1, float(score[places[-1]])

    def points(self) -> list[Point]:
        kept: list[Counted] = []
        order = sorted(self.counted, key=lambda c: (c.cost, c.less_correct, c.members, c.worst, c.sequence, c.values))
        for one in order:
            if not kept or one.less_correct < kept[-1].less_correct:
                kept.append(one)
        return [(c.sequence, c.values) for c in kept]


def _by_sequence(states: list[State]) -> dict[Members, list[State]]:
    found: dict[Members, list[State]] = {}
    for state in states:
        found.setdefault(state.sequence, []).append(state)
    return found
