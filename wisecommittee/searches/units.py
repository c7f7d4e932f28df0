"""What a committee does with every unit: where it exits, what it answers there, how sure it is, what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import Confidence, scale_of
from wisecommittee.searches.evaluate import exit_stages, members_pool
from wisecommittee.searches.stages.exit_table import ExitTable, assemble, running, score_row, stage_indices
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.stage_tables import correct_key, stage_tables
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import LogitStore
from wisecommittee.tasks import Segmentation

if TYPE_CHECKING:
    import pandas as pd


def evaluate_units(
    committee: Committee,
    store: LogitStore,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """A row per unit in the order of the split: unit_id, prediction, stage (from 1), confidence, cost, and what is
    known of it: label and correct; of graded answers score; of segmentation the pixels that are right.

    Their means are the figures of `evaluate`. confidence : of the stage where the unit exits, the last included.
    prediction, label : names of classes where the outputs came with names, else their numbers.
    """
    import pandas as pd

    pool = members_pool([committee], store, split, force=force, cost=cost)
    table, confidence = _tables(pool, committee, thread_count(threads))
    stage = exit_stages(table.score, committee.carried)
    units = np.arange(pool.units)
    paid = table.cost[stage] if table.cost.ndim == 1 else table.cost[stage, units]
    columns: dict[str, object] = {"unit_id": store.unit_ids(split)}
    if table.prediction is not None:
        columns["prediction"] = table.prediction[stage, units]
    columns |= {"stage": stage + 1, "confidence": scale_of(pool.confidence).shown(confidence[stage, units])}
    columns["cost"] = [pool.cost.true(int(each)) for each in paid]
    statistics = table.stats[stage, units]
    if isinstance(pool.task, Segmentation):
        columns["pixels_right"] = statistics[:, : pool.task.classes].sum(axis=1)
    elif pool.task.name == "score":
        columns["score"] = statistics[:, 0] / pool.task.scale
    else:
        columns |= {"label": pool.labels, "correct": statistics[:, 0] != 0}
    if (names := store.class_names(split)) is not None and table.prediction is not None:
        for column in ("prediction", "label"):
            columns[column] = np.array(names)[np.asarray(columns[column])]
    return pd.DataFrame(columns)


def _tables(pool: Pool, committee: Committee, threads: int) -> tuple[ExitTable, NDArray[np.float32]]:
    """The exit table with predictions, and the confidence [K, N] after every stage, the last included, as it is carried
    (committees/scale.py)."""
    stages = stage_indices(pool, committee)
    sequences = running(stages)
    trie = build_prefixes({correct_key(pool, sequence) for sequence in sequences})
    scored = np.zeros(len(trie), dtype=bool)
    if isinstance(pool.confidence, Confidence):
        scored[[trie.find[correct_key(pool, sequence)] for sequence in sequences]] = True
    tables = stage_tables(pool, trie, scored, predict=True, threads=threads)
    confidence = np.stack([tables.score[score_row(pool, tables, sequence)] for sequence in sequences])
    return assemble(pool, tables, stages), confidence
