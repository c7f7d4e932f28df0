"""What a committee does with every unit: where it exits, what it answers there, how sure it is, what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.searches.evaluate import exit_stages, members_pool
from wisecommittee.searches.stages.exit_table import ExitTable, assemble, running, stage_indices
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import tables_for
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import LogitStore

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
    columns |= pool.task.columns(table.stats[stage, units], pool.labels)
    if (names := store.class_names(split)) is not None and table.prediction is not None:
        for column in ("prediction", "label"):
            columns[column] = np.array(names)[np.asarray(columns[column])]
    return pd.DataFrame(columns)


def _tables(pool: Pool, committee: Committee, threads: int) -> tuple[ExitTable, NDArray[np.float32]]:
    """The exit table with predictions, and the confidence [K, N] after every stage, the last included, as it is carried
    (committees/scale.py)."""
    stages = stage_indices(pool, committee)
    combinations = running(stages)
    tables = tables_for(pool, combinations, compared=combinations, predict=True, threads=threads)
    return assemble(tables, stages), tables.scores(combinations)
