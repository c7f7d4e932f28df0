"""Per-unit results of a committee: stage of exit, prediction, confidence and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import NO_CONFIDENCE, scale_of
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.searches.exits import exits, predictions_of, statistics_of
from wisecommittee.searches.members import judged, members_pool
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import StoreLike, open_store

if TYPE_CHECKING:
    import pandas as pd


def evaluate_units(
    committee: Committee,
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Per-unit results of a committee on a split; their means are the figures of `evaluate`.

    Parameters
    ----------
    committee, store, split, force, cost, threads : as of `evaluate`

    Returns
    -------
    DataFrame
        A row per unit in the order of the split: unit_id; prediction and label (names of classes if the outputs came
        with names, else numbers; nothing where a committee gives no answer); stage at which it exits, from 1;
        confidence there, also at the last stage, if the policy combines the members and the members have one; cost; and
        correct (bool), score (of graded answers) or pixels_right (of segmentation).
    """
    import pandas as pd

    store = judged([committee], open_store(store), split)
    pool = members_pool([committee], store, split, force=force, cost=cost)
    (table,) = committee_tables(pool, [committee], predict=True, score_last=True, threads=thread_count(threads))
    left = exits(table, committee)
    row, units, prediction = left.row, np.arange(pool.units), predictions_of(table, left)
    paid = table.cost[row] if table.cost.ndim == 1 else table.cost[row, units]
    columns: dict[str, object] = {"unit_id": store.unit_ids(split)}
    if prediction is not None:
        columns["prediction"] = prediction
        if committee.abstains and prediction.dtype.kind in "iu":
            columns["prediction"] = pd.Series(prediction).astype("Int64").mask(prediction == NO_CLASS)
    columns["stage"] = np.array([route[-1] + 1 for route in table.routes])[row]
    if pool.confidence_name != NO_CONFIDENCE and all(part.policy.combines for part in committee.parts):
        columns["confidence"] = scale_of(pool.confidence).shown(table.score[row, units])
    columns["cost"] = [pool.cost.true(int(each)) for each in paid]
    columns |= pool.task.columns(statistics_of(table, pool.task, left), pool.labels)
    if (names := store.class_names(split)) is not None and prediction is not None:
        for column, classes in (("prediction", prediction), ("label", np.asarray(columns["label"]))):
            columns[column] = np.where(classes == NO_CLASS, NO_TEXT, np.array(names)[classes])
    return pd.DataFrame(columns)
