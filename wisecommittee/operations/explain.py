"""Why units left a committee where they left: the walk of each over the stored outputs, stage by stage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import RANGE, Mixing
from wisecommittee.committees.walk import walk
from wisecommittee.errors import AbsentError, UsageError, option
from wisecommittee.operations.explanation import Explanation
from wisecommittee.operations.unit_walk import Traced, UnitWalk, alone_in, answer_of
from wisecommittee.searches.exits import StoredBatch, exits, statistics_of
from wisecommittee.searches.members import judged, members_pool
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store import LogitStore, StoreLike, open_store
from wisecommittee.store.staleness import warn_if_stale


def explain(
    committee: Committee | str | os.PathLike[str],
    store: StoreLike,
    unit: str,
    split: str = "val",
    *,
    force: bool = False,
) -> Explanation:
    """Why a unit of a split left a committee where it left.

    Parameters
    ----------
    committee : Committee or path
    store : LogitStore or path
        Holds the outputs of all members.
    unit : str
        Its id.
    split : str
    force : bool
        As of `evaluate`.

    Returns
    -------
    Explanation
        The stages that ran, with what each member and the committee said, what was compared with the condition to exit
        and by how much it was met; and what the other stages would have answered.

    Raises
    ------
    AbsentError
        The split has no such unit.
    CommitteeError, StoreError
        As of `evaluate`.
    """
    return explain_all(committee, store, [unit], split, force=force)[0]


def explain_all(
    committee: Committee | str | os.PathLike[str],
    store: StoreLike,
    units: Sequence[str],
    split: str = "val",
    *,
    force: bool = False,
) -> list[Explanation]:
    """As `explain`, for several units, in their order."""
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    source = judged([chosen], open_store(store), split)
    warn_if_stale(chosen, source)
    pool = members_pool([chosen], source, split, force=force, labelled=False)
    index = source.unit_index(split)
    if absent := [unit for unit in units if unit not in index]:
        first = ", ".join(repr(unit) for unit in list(index)[:3])
        raise AbsentError(f"split {split!r} has no unit {absent[0]!r}; its {len(index):,} units begin with {first}")
    classes, labelled = source.class_names(split), source.has_labels(split)
    return [
        _explained(chosen, pool.of_units(np.array([index[unit]])), unit, classes, labelled=labelled) for unit in units
    ]


def wrong_units(committee: Committee, store: LogitStore, split: str, count: int, *, force: bool = False) -> list[str]:
    """Ids of the units that are wrong, the surest first, else the dearest; at most so many."""
    if count < 1:
        raise UsageError(f"{option('wrong', count)}; expected a number of units from 1")
    frame = evaluate_units(committee, store, split, force=force)
    if "correct" not in frame:
        raise UsageError(f"{option('wrong', count)}: units of this store are graded, not right or wrong")
    by = "confidence" if "confidence" in frame else "cost"
    wrong = frame[~frame["correct"].astype(bool)].sort_values(by, ascending=False, kind="stable")
    return [str(unit) for unit in wrong["unit_id"].head(count)]


def _explained(
    committee: Committee, pool: Pool, unit: str, classes: tuple[str, ...] | None, *, labelled: bool
) -> Explanation:
    """pool : of this unit alone."""
    (table,) = committee_tables(pool, [committee], predict=pool.task.width == 1, score_last=True)
    ((route, batch, _, _, state),) = walk(committee, Traced(StoredBatch(table, committee, np.arange(1))))
    part, policy = batch.batch.committee, committee.policy
    inner = UnitWalk(part, batch.batch.table, pool, alone_in(pool, committee, classes), classes)
    ran = [each for each in batch.states if each.route]
    first = [each for each in batch.states if each.route == inner.start]
    outcome: dict[str, Any] = {}
    if labelled:
        statistics = statistics_of(table, pool.task, exits(table, committee))
        columns = pool.task.columns(statistics, pool.labels)
        outcome = {name: column[0].item() for name, column in columns.items()}
        outcome["label"] = answer_of(columns["label"][0], classes)
    return Explanation(
        committee,
        pool.split,
        unit,
        policy.in_stages(part, route)[-1] if isinstance(policy, Mixing) else route[-1],
        tuple(reason for each in first for reason in part.policy.reasons(each, part.confidence)),
        inner.steps(ran),
        inner.not_run(route),
        inner.answer(route),
        tuple(part.policy.answer_reasons(state, part.confidence)),
        outcome,
        _drawn(committee, part, unit),
    )


def _drawn(committee: Committee, part: Committee, unit: str) -> dict[str, Any] | None:
    """The part of a mixture that a unit runs."""
    policy = committee.policy
    if not isinstance(policy, Mixing):
        return None
    number = int(policy.drawn(np.array([unit]))[0]) + 1
    return {"part": number, "committee": part.label(), "share": policy.share, "draw": policy.draw(unit) / RANGE}
