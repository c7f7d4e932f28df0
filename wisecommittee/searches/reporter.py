"""From a witness of the search to the committee that is reported: tiers, midpoint thresholds, the plain evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.scale import Scale
from wisecommittee.searches.evaluate import evaluate_with, exit_counts, identity
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.grid.sweep import Point
from wisecommittee.searches.stages.exit_table import running, scores
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables


def reported_threshold(ordered: NDArray[np.float32], value: np.float32, scale: Scale) -> tuple[float, float | None]:
    """The float32 midpoint between a level and the next lower distinct confidence, if it lies strictly above that one,
    and the log-odds that decide where it cannot.

    ordered : float32 [N] confidences of the stage over all units, ascending; carried on the scale, as value is.
    """
    place = int(np.searchsorted(ordered, value))
    return scale.between(ordered[place - 1] if place else None, value)


class Reporter:
    """Turns witnesses into the committees that are reported, evaluated by the plain evaluator."""

    def __init__(self, pool: Pool, tables: StageTables, family: str, *, shared: bool = False) -> None:
        """shared : all stages have the same threshold, which then lies midway between confidences of all of them."""
        self.pool, self.tables, self.family, self.shared = pool, tables, family, shared
        self.members = {card.model: identity(card) for card in pool.cards}
        self._sorted: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._thresholds: dict[tuple[tuple[int, ...], float], tuple[float, float | None]] = {}
        self.scale = scale_of(pool.confidence)
        self._compared: dict[tuple[int, ...], list[str]] = {}  # rows that thresholds were put in: models that had run
        self._names: dict[tuple[tuple[int, ...], ...], tuple[tuple[str, ...], ...]] = {}

    def report(self, points: Sequence[Point]) -> list[Evaluation]:
        """Of each witness, its tiers in order and its thresholds: merge stages where nobody exits, drop stages nobody
        reaches, put thresholds midway, evaluate."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, (sequence, _) in enumerate(points):
            alike.setdefault(sequence, []).append(place)
        found: dict[int, Committee] = {}
        for sequence, places in alike.items():
            values = [points[place][1] for place in places]
            found.update(zip(places, self._committees(sequence, values), strict=True))
        return evaluate_with(self.pool, self.tables, [found[place] for place in range(len(points))])

    def _committees(self, sequence: tuple[int, ...], values: list[tuple[float, ...]]) -> Iterator[Committee]:
        """Of the same tiers in order, with each of these thresholds."""
        ran = running([(step,) for step in sequence])
        rows = [self.tables.row(some) for some in ran[:-1]]
        compared = [tuple(rows) if self.shared else (row,) for row in rows]
        vectors = np.array(values, np.float32).reshape(len(values), len(rows))
        counts = exit_counts(scores(self.tables, ran), vectors)
        for exits, vector in zip(counts.tolist(), vectors.tolist(), strict=True):
            used = [k for k, units in enumerate(exits) if units]
            starts = [0, *(k + 1 for k in used[:-1])]
            for k in used[:-1]:
                if compared[k] not in self._compared:
                    self._compared[compared[k]] = [self.pool.cards[m].model for m in self.pool.members(ran[k])]
            yield self._committee(
                tuple(sequence[a : k + 1] for a, k in zip(starts, used, strict=True)),
                [self._threshold(compared[k], vector[k]) for k in used[:-1]],
            )

    def ties(self) -> dict[str, Any] | None:
        """The largest share of units that have one and the same confidence, or that only rounding parts, at a stage
        where reported committees have a threshold, and the models that had run there; None without thresholds."""
        found: tuple[float, list[str]] | None = None
        for rows, models in self._compared.items():
            if rows in self._sorted:
                _, counts = np.unique(self.scale.lowest(self._sorted[rows]), return_counts=True)
                share = float(counts.max() / counts.sum())
                found = (share, models) if found is None or share > found[0] else found
        return None if found is None else {"share": round(found[0], 6), "after": found[1]}

    def _committee(
        self, stages: tuple[tuple[int, ...], ...], thresholds: Sequence[tuple[float, float | None]]
    ) -> Committee:
        if stages not in self._names:
            members = [self.pool.members(stage) for stage in stages]
            if not self.pool.sequenced:
                members = [tuple(sorted(some)) for some in members]
            self._names[stages] = tuple(tuple(self.pool.cards[m].model for m in some) for some in members)
        names = self._names[stages]
        return Committee(
            stages=names,
            thresholds=(0.0,) * (len(names) - 1),
            confidence=self.pool.confidence_name,
            combine=self.pool.combine.name,
            family=self.family,
            cost=self.pool.cost.name,
            chosen_on=self.pool.split,
            members={name: self.members[name] for stage in names for name in stage},
        ).with_thresholds(thresholds)

    def _threshold(self, rows: tuple[int, ...], value: float) -> tuple[float, float | None]:
        """Where a witness's threshold is put among the confidences of these rows."""
        if (rows, value) not in self._thresholds:
            if rows not in self._sorted:
                self._sorted[rows] = np.sort(self.tables.score[list(rows)], axis=None)
            self._thresholds[rows, value] = reported_threshold(self._sorted[rows], np.float32(value), self.scale)
        return self._thresholds[rows, value]
