"""Greedy cascades (Streeter 2018, "Approximation algorithms for cascading prediction models", ICML), over a range of
accuracies: the quick incumbent for any pool.

Published: let R be the units not answered yet. Every model abstains below a threshold: the lowest one at which its
accuracy on the units it answers is at least alpha times that of a reference model. Append the model that answers the
most units per cost, remove these units from R, repeat. For a fixed set of abstaining models and a decomposable
constraint the cost is within a factor of 4 of the least.

Departs: what answers at a stage is the committee's own prefix (the running mean of its members unless `last` is asked
for), as in the paper's version with models generated along the way, where that factor is not proved. A stage may add
several members of a group. The length is limited, so every stage is also closed by each tier that can come next, which
answers all remaining units; the paper closes with the reference. alpha runs over a range, the reference is the most
accurate committee of one stage, and all cascades that no other dominates are kept. Thresholds lie at confidences of
units, ties are never split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import reaches
from wisecommittee.searches.grid.candidates import TieOrder, filled_up
from wisecommittee.searches.heuristic.batch import Stages, batches
from wisecommittee.searches.heuristic.neighbours import Combination
from wisecommittee.searches.heuristic.space import Extensions, Outcome, SearchSpace
from wisecommittee.searches.workers.threads import interrupts

TARGETS = 32  # accuracies relative to the reference
HIGHEST = 1.05  # the highest target: a committee can be better than its best member


@dataclass(frozen=True, slots=True)
class PartialCascade:
    """A cascade under construction.

    waiting : bool [N] units that no stage has answered yet. correct, cost : totals of the units that have exited.
    """

    target: float
    sequence: Combination
    values: tuple[float, ...]
    waiting: NDArray[np.bool_]
    correct: int
    cost: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A finished cascade with its exact counts."""

    cost: int
    less_correct: int  # minus the number correct
    values: tuple[float, ...]
    sequence: Combination


def greedy_points(space: SearchSpace) -> Outcome:
    """The best cascades of a greedy search; ends early with the best so far when space.stop is set."""
    search = Greedy(space)
    states = search.start()
    interrupts().keep(space.stop.set)
    for size in range(1, space.max_models + 1):
        if not states or space.stop.is_set():
            break
        states = search.step(states, last=size == space.max_models)
        space.report("greedy", size, space.max_models)
    return search.outcome()


class Greedy:
    """Cascades counted so far."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.pool = space, space.pool
        self.counted: list[Counted] = []
        self.worst: dict[Combination, int] = {}  # worst-case cost of every combination that was counted
        self.reference: NDArray[np.int64] = np.zeros(space.pool.units, np.int64)

    def start(self) -> list[PartialCascade]:
        """Every committee of one stage is counted; the most accurate becomes the reference. One empty cascade per
        target."""
        starts = self.space.starts()
        stages = Stages(self.pool, (), starts.sequences, self.space.threads)
        empty = PartialCascade(1.0, (), (), np.ones(self.pool.units, dtype=bool), 0, 0)
        self._close(empty, stages, starts)
        best = min(self.counted, key=lambda c: (c.less_correct, c.cost, c.sequence))
        self.reference = stages.correct(best.sequence).astype(np.int64)
        lowest = max(c.less_correct for c in self.counted) / min(-1, best.less_correct)
        return [replace(empty, target=float(t)) for t in np.linspace(min(lowest, 0.95), HIGHEST, TARGETS)]

    def step(self, states: list[PartialCascade], last: bool) -> list[PartialCascade]:
        """For each cascade under construction: count every tier that can come next as its last stage, and, unless this
        is the last stage, append the tier that answers the most units per cost."""
        grouped: dict[Combination, list[PartialCascade]] = {}
        for state in states:
            grouped.setdefault(state.sequence, []).append(state)
        grown: list[PartialCascade] = []
        every = [e for e in map(self.space.extensions, sorted(grouped)) if len(e.lasts)]
        for batch in batches(every, [len(e.lasts) * (3 if last else 40) * self.pool.units for e in every]):
            if self.space.stop.is_set():
                break
            longer = [sequence for e in batch for sequence in e.sequences]
            stages = Stages(self.pool, () if last else longer, longer, self.space.threads)
            for e in batch:
                for state in grouped[e.head]:
                    self._close(state, stages, e)
                    found = None if last else self._best(state, stages, e)
                    if found is not None and found.waiting.any():
                        grown.append(found)
        return grown

    def _close(self, state: PartialCascade, stages: Stages, every: Extensions) -> None:
        for sequence, worst in zip(every.sequences, every.worst.tolist(), strict=True):
            correct = state.correct + int(stages.correct(sequence)[state.waiting].sum(dtype=np.int64))
            cost = state.cost + self._marginal(sequence, state.waiting)
            self.counted.append(Counted(cost, -correct, state.values, sequence))
            self.worst[sequence] = worst

    def _marginal(self, sequence: Combination, waiting: NDArray[np.bool_]) -> int:
        """Cost of the last stage over the units that run it."""
        cumulative = self.pool.cost.stages([(tier,) for tier in sequence])
        added = np.diff(cumulative, axis=0, prepend=np.zeros_like(cumulative[:1]))[-1]
        return int(np.broadcast_to(added, waiting.shape)[waiting].sum())

    def _best(self, state: PartialCascade, stages: Stages, every: Extensions) -> PartialCascade | None:
        """The most units answered per cost, then least cost, then first name; None if no tier can answer."""
        best: tuple[float, int, int] | None = None
        chosen: PartialCascade | None = None
        for sequence in every.sequences:
            answered, value = self._threshold(state, stages, sequence)
            if not answered:
                continue
            paid = self._marginal(sequence, state.waiting)
            key = (-answered / paid if paid else float("-inf"), paid, sequence[-1])
            if best is None or key < best:
                score = stages.tables.score[stages.row(sequence)]
                leaves = state.waiting & reaches(score, value)
                correct = state.correct + int(stages.correct(sequence)[leaves].sum(dtype=np.int64))
                best = key
                chosen = PartialCascade(
                    state.target,
                    sequence,
                    (*state.values, value),
                    state.waiting & ~leaves,
                    correct,
                    state.cost + paid,
                )
        return chosen

    def _threshold(self, state: PartialCascade, stages: Stages, sequence: Combination) -> tuple[int, float]:
        """The most waiting units that may be answered under the target, and the least confidence among them."""
        order = stages.order(sequence)[::-1]
        order = order[state.waiting[order]]
        number = stages.numbers(sequence)[order]
        own = np.cumsum(stages.correct(sequence)[order], dtype=np.int64)
        allowed = own >= state.target * np.cumsum(self.reference[order])
        allowed[:-1] &= number[:-1] != number[1:]
        places = np.flatnonzero(allowed)
        if not len(places):
            return 0, float("inf")
        return int(places[-1]) + 1, stages.distinct(sequence, int(number[places[-1]]))

    def outcome(self) -> Outcome:
        sequences = list(self.worst)
        order = TieOrder.of(self.pool).argsort(filled_up(sequences), np.array(list(self.worst.values()), np.int64))
        rank = {sequences[i]: n for n, i in enumerate(order.tolist())}
        kept: list[Counted] = []
        for c in sorted(self.counted, key=lambda c: (c.cost, c.less_correct, rank[c.sequence], c.values)):
            if not kept or c.less_correct < kept[-1].less_correct:
                kept.append(c)
        return Outcome([(c.sequence, c.values) for c in kept], len(sequences), len(self.counted))
