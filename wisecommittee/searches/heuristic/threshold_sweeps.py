"""Two ways to count many thresholds of a cascade at once (kernels/sweeps/beam.py): the last few jointly (JointSweep)
and each by itself while the others are fixed (LineSweep).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import reaches
from wisecommittee.kernels.envelope import Envelope
from wisecommittee.kernels.sweeps import beam
from wisecommittee.searches.grid.virtual_stages import padded
from wisecommittee.searches.heuristic.batch import Stages
from wisecommittee.searches.heuristic.neighbours import Combination
from wisecommittee.searches.heuristic.space import Extensions

SWEPT = 3  # thresholds that are swept jointly
STATES = 8  # vectors of thresholds before the last SWEPT that a head keeps


@dataclass(frozen=True, slots=True)
class Cells:
    """The vectors of thresholds of a joint sweep. A threshold is given as the number of units below it, of all N units
    (N: nobody exits).

    states : thresholds of the stages before the swept stages; levels : int64 [P - 1] for each swept stage, to which N
    is added. A level index counts through the states and, within each, through the levels, the last stage fastest.
    """

    units: int
    states: tuple[tuple[int, ...], ...]
    levels: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(
        cls, head: Combination, units: int, levels: Sequence[NDArray[np.int64]], used: Iterable[tuple[int, ...]]
    ) -> Cells:
        """levels : levels of the stages of the head, of which the last SWEPT are used; used : thresholds of this head
        or of its beginnings, whose first STATES different states are taken."""
        swept = min(len(head), SWEPT)
        outer = len(head) - swept
        states = tuple(dict.fromkeys(below[:outer] for below in used))[:STATES]
        return cls(units, states or ((units,) * outer,), tuple(levels[len(levels) - swept :]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Levels of each swept stage, padded in front with stages that everybody continues."""
        first, second, third = padded([len(levels) + 1 for levels in self.levels], SWEPT, 1)
        return first, second, third

    def __len__(self) -> int:
        return len(self.states) * int(np.prod(self.shape))

    def below(self, level: int) -> tuple[int, ...]:
        """The vector behind a level index."""
        swept: list[int] = []
        for values in reversed(self.levels):
            level, index = divmod(level, len(values) + 1)
            swept.insert(0, int(values[index]) if index < len(values) else self.units)
        return (*self.states[level], *swept)


def no_lead(extensions: int) -> beam.Lead:
    """A lead that no extension exceeds."""
    none = np.zeros(1, np.int64)
    never = np.full((extensions, 1), np.iinfo(np.int64).max)
    return beam.Lead(none, 0, none, never, never)


class JointSweep:
    """Every cell of the last thresholds of a head, for each tier that closes it; with an empty head, the tiers alone.

    The thresholds before them are fixed, one state after the other.
    """

    def __init__(self, stages: Stages, extensions: Extensions, cells: Cells, lead: beam.Lead | None = None) -> None:
        self.stages, self.extensions, self.cells = stages, extensions, cells
        self.lead = lead or no_lead(len(extensions.lasts))
        self.swept = extensions.prefixes[len(extensions.head) - len(cells.levels) :]
        for prefix, levels in zip(self.swept, cells.levels, strict=True):
            stages.bins(prefix, levels)

    @property
    def vectors(self) -> int:
        return len(self.extensions.lasts) * len(self.cells)

    def values(self, entry: int, level: int) -> tuple[float, ...]:
        below = self.cells.below(level)
        return tuple(self.stages.value(p, b) for p, b in zip(self.extensions.prefixes, below, strict=True))

    def count(self, ranks: NDArray[np.int64], envelope: Envelope) -> None:
        stages, shape, lead, units = self.stages, self.cells.shape, self.lead, self.cells.units
        head, prefixes, lasts = self.extensions.head, self.extensions.prefixes, self.extensions.lasts
        outer, size = len(head) - len(self.swept), int(np.prod(shape))
        right = [stages.correct(prefix).astype(np.int64) for prefix in prefixes]
        fees = stages.pool.cost.marginal(head, units)
        extended, last_fees = stages.extended(head, lasts), self._last_fees()
        varying = stages.pool.cost.per_unit is not None
        counts, gains = np.empty((2, size), np.int32)
        scratch = beam.Sums(counts, gains, np.empty(size if varying else 0, np.int64))
        totals = beam.HeadTotals(*np.empty((2, *shape[:2]), np.int64))
        for number, state in enumerate(self.cells.states):
            waiting, settled_correct, settled_cost = self._settled(state, right, fees)
            # Columns of the waiting units: `take` gives contiguous arrays, and nothing is copied where all units wait.
            of = partial(np.take, indices=waiting, axis=-1) if outer else np.asarray
            nobody, nothing = np.zeros(len(waiting), np.int32), np.zeros(len(waiting), np.int64)
            swept = zip(self.swept, self.cells.levels, strict=True)
            b1, b2, b3 = padded([of(stages.bins(prefix, levels)) for prefix, levels in swept], SWEPT, nobody)
            c1, c2, c3 = padded([of(c) for c in right[outer:]], SWEPT, nothing)
            w1, w2, w3 = padded([of(w) for w in fees[outer:]], SWEPT, nothing)
            beam.pair_table(b1, b2, c2 - c1, c3 - c2, settled_correct + int(c1.sum()), totals.correct)
            beam.pair_table(b1, b2, w2, w3, settled_cost + int(w1.sum()), totals.cost)
            cells = ((b1 * shape[1] + b2) * shape[2] + b3).astype(np.int32)
            left = beam.Waiting(cells, c3.astype(np.int32), of(extended), of(last_fees) if varying else last_fees)
            beam.grow(left, totals, ranks, number * size, shape, scratch, lead, envelope)

    def _settled(
        self, state: tuple[int, ...], right: Sequence[NDArray[np.int64]], fees: Sequence[NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], int, int]:
        """Units left after the stages of a state, the number correct among the units that have exited, and the cost
        that all units have paid so far."""
        waiting = np.ones(self.cells.units, dtype=bool)
        correct = cost = 0
        for prefix, below, stage_correct, fee in zip(self.extensions.prefixes, state, right, fees, strict=False):
            cost += int(fee[waiting].sum())
            score = self.stages.tables.score[self.stages.row(prefix)]
            leaves = waiting & reaches(score, self.stages.value(prefix, below))
            correct += int(stage_correct[leaves].sum())
            waiting &= ~leaves
        return np.flatnonzero(waiting), correct, cost

    def _last_fees(self) -> NDArray[np.int64]:
        """What each last tier adds to the cost: int64 [m, N], or [m, 1] where it is the same for every unit."""
        cost, sequences = self.stages.pool.cost, np.array(self.extensions.sequences, np.int64)
        if cost.per_unit is not None:
            return cost.per_unit[self.extensions.lasts]
        return np.diff(cost.cumulative(sequences), axis=1, prepend=0)[:, -1:].copy()


class LineSweep:
    """For each extension and each of its given threshold vectors: every threshold over all its values, the others
    fixed."""

    def __init__(self, stages: Stages, extensions: Extensions, vectors: Sequence[Sequence[tuple[float, ...]]]) -> None:
        """vectors : threshold vectors of each extension."""
        self.stages, self.extensions, self.given = stages, extensions, vectors
        for prefix in extensions.prefixes:
            stages.numbers(prefix)

    @property
    def _values_each(self) -> int:
        """The number of level indices of one line."""
        return self.stages.pool.units + 2

    @property
    def vectors(self) -> int:
        return sum(map(len, self.given)) * len(self.extensions.head) * (self.stages.pool.units + 1)

    def values(self, entry: int, level: int) -> tuple[float, ...]:
        index, number = divmod(level, self._values_each)
        vector, free = divmod(index, len(self.extensions.head))
        values = list(self.given[entry][vector])
        values[free] = self.stages.distinct(self.extensions.prefixes[free], number)
        return tuple(values)

    def count(self, ranks: NDArray[np.int64], envelope: Envelope) -> None:
        stages, prefixes, units = self.stages, self.extensions.prefixes, self.stages.pool.units
        numbers = np.stack([stages.numbers(prefix) for prefix in prefixes])
        orders = [stages.order(prefix) for prefix in prefixes]
        correct = np.empty((len(prefixes) + 1, units), np.int32)
        for k, prefix in enumerate(prefixes):
            correct[k] = stages.correct(prefix)
        scratch = np.empty((2, units), np.int64)
        for sequence, rank, vectors in zip(self.extensions.sequences, ranks, self.given, strict=True):
            correct[-1] = stages.correct(sequence)
            cumulative = stages.pool.cost.stages([(tier,) for tier in sequence]).reshape(len(sequence), -1)
            for v, values in enumerate(vectors):
                fixed = np.array([stages.number(p, x) for p, x in zip(prefixes, values, strict=True)], np.int64)
                cascade = beam.Cascade(numbers, correct, cumulative, fixed)
                for free in range(len(prefixes)):
                    first = (v * len(prefixes) + free) * self._values_each
                    beam.sweep_line(orders[free], cascade, free, rank, first, scratch, envelope)
