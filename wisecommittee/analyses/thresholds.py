"""The sweep of a cascade's threshold, from the first model alone to the ensemble (Wang et al. 2022, Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.analyses.cascades import cascade_pool, chosen_cascades, stage_values
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.scale import LARGEST
from wisecommittee.searches.evaluate import evaluate_table
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.store import LogitStore

LEVELS = 500  # of a sweep at most
TOLERANCE = 0.001  # largest loss of accuracy on the plateau, against no early exits


@dataclass(frozen=True, slots=True)
class ThresholdSweep:
    """A committee evaluated at many values of the threshold of one stage, its other thresholds kept.

    evaluations : by rising threshold. At the first all units that reach the stage exit there, at the last none does;
    test : the same on the reporting split, empty without one. plateau : index of the least threshold from which on the
    quality is never more than TOLERANCE below that at the last threshold.
    """

    committee: Committee
    stage: int
    thresholds: tuple[float, ...]
    evaluations: tuple[Evaluation, ...]
    test: tuple[Evaluation, ...]

    @property
    def plateau(self) -> int:
        """Index of the least threshold of the plateau."""
        least = self.evaluations[-1].quality - TOLERANCE
        below = [i for i, e in enumerate(self.evaluations) if e.quality < least]
        return below[-1] + 1 if below else 0


def sweeps(study: Study) -> list[ThresholdSweep]:
    """A sweep of every threshold of every chosen cascade."""
    return [sweep for committee in chosen_cascades(study) for sweep in _sweeps(study, committee)]


def _sweeps(study: Study, committee: Committee) -> list[ThresholdSweep]:
    pool = cascade_pool(study, committee, study.split)
    score, _ = stage_values(pool, committee)
    test = _reporting(study, committee)
    results = []
    for stage in range(len(committee.stages) - 1):
        thresholds = levels(score[stage])
        runs = [_run(p, committee, stage, thresholds) for p in (pool, test) if p is not None]
        shown = tuple(e.committee.thresholds.values[stage] for e in runs[0])
        results.append(ThresholdSweep(committee, stage, shown, runs[0], runs[1] if test else ()))
    return results


def levels(score: NDArray[np.float32], most: int = LEVELS) -> tuple[float, ...]:
    """At most `most` distinct confidences of the answers of a stage [N], evenly spaced in rank, and a value above them
    all."""
    score = score[np.abs(score) < LARGEST]
    values = np.unique(score) if len(score) else np.zeros(1, np.float32)
    if len(values) > most:
        ordered = np.sort(score)
        values = np.unique(ordered[np.linspace(0, len(ordered) - 1, most).round().astype(np.int64)])
    return (*values.tolist(), float(np.nextafter(values[-1], np.float32(np.inf))))


def _reporting(study: Study, committee: Committee) -> Pool | None:
    store: LogitStore = study.store
    split = study.reports
    if split == study.split or not store.has_split(split) or not set(committee.models) <= set(store.models(split)):
        return None
    return cascade_pool(study, committee, split)


def _run(pool: Pool, committee: Committee, stage: int, thresholds: tuple[float, ...]) -> tuple[Evaluation, ...]:
    table = committee_tables(pool, [committee])[0]
    scale = scale_of(pool.confidence)
    pairs = committee.thresholds.pairs
    before, after = pairs[:stage], pairs[stage + 1 :]
    vectors = [Thresholds.of([*before, scale.threshold(np.float32(t)), *after]) for t in thresholds]
    moved = [replace(committee, policy=vector) for vector in vectors]
    return tuple(evaluate_table(table, moved, pool.task, pool.cost, pool.split))
