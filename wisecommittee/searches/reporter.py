"""From a point of a search to the reported committee: merged stages, midpoint thresholds, evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.scale import Scale
from wisecommittee.committees.threshold_vectors import exit_counts
from wisecommittee.searches.evaluate import evaluate_with
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.members import identity
from wisecommittee.searches.stages.exit_table import scores
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables

Rows = tuple[int, ...]  # rows of StageTables.score
Pair = tuple[float, float | None]  # a threshold, and its log-odds where float32 cannot express it


def reported_threshold(ordered: NDArray[np.float32], value: np.float32, scale: Scale) -> Pair:
    """The threshold, with its log-odds if it needs them, that is reported for a level of the search.

    It is the float32 midpoint between the level and the next lower distinct confidence if that lies strictly above the
    lower one, else the level (Scale.between).

    Parameters
    ----------
    ordered : float32 [N]
        Confidences of the stage over all units, ascending, as they are carried on `scale`.
    value : float32
        The level, one of them.
    scale : Scale
    """
    index = int(np.searchsorted(ordered, value))
    return scale.between(ordered[index - 1] if index else None, value)


class Reporter:
    """Turns the points of a search into committees, evaluated by the plain evaluator.

    Parameters
    ----------
    pool, tables : Pool, StageTables
        With all prefixes of the points.
    family : str
    shared : bool
        All stages have the same threshold, which lies midway between confidences of all stages.
    """

    def __init__(self, pool: Pool, tables: StageTables, family: str, *, shared: bool = False) -> None:
        self.pool, self.tables, self.family, self.shared = pool, tables, family, shared
        self.scale = scale_of(pool.confidence)
        self.members = {card.model: identity(card) for card in pool.cards}
        self._sorted: dict[Rows, NDArray[np.float32]] = {}  # confidences of these rows, ascending
        self._thresholds: dict[tuple[Rows, float], Pair] = {}
        self._ran: dict[Rows, list[str]] = {}  # models that have run when these rows are compared with a threshold
        self._names: dict[tuple[tuple[int, ...], ...], tuple[tuple[str, ...], ...]] = {}

    def report(self, points: Sequence[Point]) -> list[Evaluation]:
        """Evaluations of points, each a sequence of tiers and the thresholds after all but the last of them.

        A stage at which no unit exits is merged into the next, stages that no unit reaches are dropped.
        """
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, (sequence, _) in enumerate(points):
            alike.setdefault(sequence, []).append(index)
        committees: dict[int, Committee] = {}
        for sequence, indices in alike.items():
            values = [points[index][1] for index in indices]
            committees.update(zip(indices, self._committees(sequence, values), strict=True))
        return evaluate_with(self.pool, self.tables, [committees[index] for index in range(len(points))])

    def _committees(self, sequence: tuple[int, ...], values: list[tuple[float, ...]]) -> Iterator[Committee]:
        """The committees of one sequence of tiers with each vector of thresholds."""
        before = [sequence[: k + 1] for k in range(len(sequence) - 1)]
        rows = [self.tables.row(tiers) for tiers in before]
        compared = [tuple(rows) if self.shared else (row,) for row in rows]
        vectors = np.array(values, np.float32).reshape(len(values), len(rows))
        counts = exit_counts(scores(self.tables, [*before, None]), vectors)
        for exits, vector in zip(counts.tolist(), vectors.tolist(), strict=True):
            used = [k for k, units in enumerate(exits) if units]
            starts = [0, *(k + 1 for k in used[:-1])]
            for k in used[:-1]:
                if compared[k] not in self._ran:
                    self._ran[compared[k]] = [self.pool.cards[m].model for m in self.pool.members(before[k])]
            yield self._committee(
                tuple(sequence[a : k + 1] for a, k in zip(starts, used, strict=True)),
                [self._threshold(compared[k], vector[k]) for k in used[:-1]],
            )

    def ties(self) -> dict[str, Any] | None:
        """{"share", "after"}: the largest share of units with one confidence, up to rounding, at a stage at which a
        reported committee has a threshold, and the models that have run by then; None without thresholds."""
        largest: tuple[float, list[str]] | None = None
        for rows, models in self._ran.items():
            if rows in self._sorted:
                _, counts = np.unique(self.scale.lowest(self._sorted[rows]), return_counts=True)
                share = float(counts.max() / counts.sum())
                largest = (share, models) if largest is None or share > largest[0] else largest
        return None if largest is None else {"share": round(largest[0], 6), "after": largest[1]}

    def _committee(self, stages: tuple[tuple[int, ...], ...], thresholds: Sequence[Pair]) -> Committee:
        if stages not in self._names:
            members = [self.pool.members(stage) for stage in stages]
            if not self.pool.sequenced:
                members = [tuple(sorted(stage)) for stage in members]
            self._names[stages] = tuple(tuple(self.pool.cards[m].model for m in stage) for stage in members)
        names = self._names[stages]
        return Committee(
            stages=names,
            policy=Thresholds.of(thresholds),
            confidence=self.pool.confidence_name,
            combine=self.pool.combine.name,
            family=self.family,
            cost=self.pool.cost.name,
            parallel=self.pool.parallel,
            chosen_on=self.pool.split,
            labels_from=self.pool.store.labels_from,
            members={name: self.members[name] for stage in names for name in stage},
        )

    def _threshold(self, rows: Rows, value: float) -> Pair:
        """The reported threshold of a level of the search, among the confidences of these rows."""
        if (rows, value) not in self._thresholds:
            if rows not in self._sorted:
                self._sorted[rows] = np.sort(self.tables.score[list(rows)], axis=None)
            self._thresholds[rows, value] = reported_threshold(self._sorted[rows], np.float32(value), self.scale)
        return self._thresholds[rows, value]
