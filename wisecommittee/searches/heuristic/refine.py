"""Refinement of the cascades a search has found, until nothing improves: thresholds, members, thresholds jointly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.heuristic.batch import Stages
from wisecommittee.searches.heuristic.incumbents import Incumbents
from wisecommittee.searches.heuristic.neighbours import Combination, moved
from wisecommittee.searches.heuristic.space import Extensions
from wisecommittee.searches.heuristic.threshold_sweeps import STATES, SWEPT, Cells, JointSweep, LineSweep

SEEDS, ROUNDS, PASSES = 64, 8, 12  # sequences whose neighbours one round tries; rounds; passes over thresholds
FINE = 96  # levels of a stage in the last joint sweep

Below = tuple[int, ...]  # thresholds as numbers of units below them


def sweep_lines(incumbents: Incumbents, points: Sequence[tuple[Combination, tuple[float, ...]]], name: str) -> None:
    """Each threshold of each of these cascades over all values it can take, the others fixed."""
    grouped: dict[Combination, dict[int, list[tuple[float, ...]]]] = {}
    for (*head, last), values in points:
        grouped.setdefault(tuple(head), {}).setdefault(last, []).append(values)
    every = [incumbents.space.extensions(head, sorted(lasts)) for head, lasts in grouped.items()]
    incumbents.sweep(
        name, every, lambda stages, e: LineSweep(stages, e, [grouped[e.head][m] for m in e.lasts.tolist()])
    )


class Refinement:
    """The refinement of incumbents, and the incumbents that it has been applied to."""

    def __init__(
        self, incumbents: Incumbents, coarse: NDArray[np.int64], near: Mapping[Combination, Sequence[Below]]
    ) -> None:
        """coarse : the coarse levels of a stage; near : thresholds of cascades that came near the envelope."""
        self.incumbents, self.coarse, self.near = incumbents, coarse, near
        self.ascended: set[int] = set()  # points whose thresholds were moved
        self.expanded: set[Combination] = set()  # sequences whose neighbours were tried

    def run(self) -> None:
        for number in range(ROUNDS):
            self._ascend()
            if not self._neighbours(number + 1):
                break
        self._ascend()
        self._polish(everything=True)
        self._ascend()
        self._polish(everything=False)
        self._ascend()

    def _ascend(self) -> None:
        """Move each threshold of the envelope's points over all its values until none of them improves."""
        cascades = self.incumbents.cascades
        for _ in range(PASSES):
            held = self.incumbents.held.tolist()
            fresh = [i for i in held if i not in self.ascended and len(cascades[i].sequence) > 1]
            if not fresh or self.incumbents.space.stop.is_set():
                return
            self.ascended.update(fresh)
            sweep_lines(self.incumbents, [(cascades[i].sequence, cascades[i].values) for i in fresh], "thresholds")

    def _neighbours(self, number: int) -> bool:
        """Try the neighbours of the sequences with most points that were not expanded; False where there are none."""
        incumbents, space = self.incumbents, self.incumbents.space
        units = space.pool.units
        held = incumbents.by_sequence(incumbents.held.tolist())
        seeds = sorted((s for s in held if len(s) > 1 and s not in self.expanded), key=lambda s: (-len(held[s]), s))
        if not seeds or space.stop.is_set():
            return False
        seeds = seeds[:SEEDS]
        self.expanded.update(seeds)
        heads: dict[Combination, set[int]] = {}
        used: dict[Combination, set[Below]] = {}
        for seed in seeds:
            for sequence, q, longer in space.neighbours.of(seed, space.max_models):
                if sequence in incumbents.visited or len(sequence) < 2:
                    continue
                head = sequence[:-1]
                heads.setdefault(head, set()).add(sequence[-1])
                if len(head) > SWEPT:
                    used.setdefault(head, set()).update(moved(f.below, q, longer, units) for f in held[seed])
        levels = [self.coarse] * SWEPT
        incumbents.sweep(
            f"neighbours {number}",
            [space.extensions(head, sorted(lasts)) for head, lasts in heads.items()],
            lambda stages, e: JointSweep(stages, e, Cells.of(e.head, units, levels, _spread(used.get(e.head, ())))),
        )
        return True

    def _polish(self, everything: bool) -> None:
        """Sweep the last thresholds of cascades jointly on fine levels: cascades on the envelope, and with `everything`
        also cascades that were on it earlier or came near it."""
        incumbents, space = self.incumbents, self.incumbents.space
        points = range(len(incumbents.cascades)) if everything else incumbents.held.tolist()
        used = {s: [f.below for f in cascades] for s, cascades in incumbents.by_sequence(points).items()}
        if everything:
            for s, below in self.near.items():
                used.setdefault(s, []).extend(below)

        def fine(stages: Stages, e: Extensions) -> JointSweep:
            (sequence,) = e.sequences
            levels = gain_levels(stages, sequence, used[sequence])
            return JointSweep(stages, e, Cells.of(e.head, space.pool.units, levels, _spread(used[sequence])))

        incumbents.sweep("polish", [space.extensions(s[:-1], s[-1:]) for s in sorted(used) if len(s) > 2], fine)


def gain_levels(stages: Stages, sequence: Combination, used: Sequence[Below]) -> list[NDArray[np.int64]]:
    """Levels just above the gain confidences (see kernels/exact/gain_levels.py) of each swept stage, as numbers of
    units below them; if there are more than FINE, only levels around the thresholds in use."""
    correct = [stages.correct(sequence[:k]).astype(np.int64) for k in range(1, len(sequence) + 1)]
    out: list[NDArray[np.int64]] = []
    best = correct[-1]
    for k in range(len(sequence) - 2, max(-1, len(sequence) - 2 - SWEPT), -1):
        order = stages.order(sequence[: k + 1])
        numbers = stages.numbers(sequence[: k + 1])[order]
        gains = np.unique(numbers[(best - correct[k])[order] > 0])
        below = np.unique(np.searchsorted(numbers, gains, side="right"))
        if len(below) > FINE:
            in_use = [b[k] for b in used]
            near = below[(below >= 0.5 * min(in_use)) & (below <= 1.5 * max(in_use))]
            below = near if len(near) else below
            below = below[np.unique(np.linspace(0, len(below) - 1, FINE).astype(np.int64))]
        out.insert(0, below[below < len(order)])
        best = np.maximum(best, correct[k])
    return out


def _spread(states: Collection[Below]) -> list[Below]:
    """At most STATES of the states, evenly spaced in their order."""
    ordered = sorted(states)
    return [ordered[i * len(ordered) // STATES] for i in range(STATES)] if len(ordered) > STATES else ordered
