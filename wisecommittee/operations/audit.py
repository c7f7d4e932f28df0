"""A policy that another tool chose, on the user's store: its figures with every model that ran charged, beside what the
tool claims.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import default_cost
from wisecommittee.errors import UsageError, option
from wisecommittee.operations.claims import Audited, Claim
from wisecommittee.operations.outcomes import Numbers, UnitOutcomes, outcomes_in
from wisecommittee.operations.policy_file import ClaimedPolicy, read_policy
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.members import judged, members_pool
from wisecommittee.searches.stages.exit_table import stage_indices
from wisecommittee.searches.stages.pool import UNAVERAGED, Pool
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.store import LogitStore, StoreLike, open_store


def audit(
    policy: ClaimedPolicy | str | os.PathLike[str],
    store: StoreLike,
    split: str = "test",
    *,
    cost: str | None = None,
    force: bool = False,
    threads: int | None = None,
) -> Audited:
    """Evaluate a policy that another tool chose, with every model that ran charged, beside what the tool claims.

    Parameters
    ----------
    policy : ClaimedPolicy or path
        A file as policy_file.py describes it, or a committee.json.
    store : LogitStore or path
        Holds all models of the policy.
    split : str
        Units on which the policy was not chosen; on others its figures are optimistic.
    cost : str, optional
        The cost to charge; by default the one that is claimed, else the only one that the models have, else FLOPs.
    force, threads
        As of `evaluate`.

    Returns
    -------
    Audited

    Raises
    ------
    AbsentError
        There is no such file.
    CommitteeError
        The file is no policy, or the store cannot run it.
    StoreError
        The store has no such split.
    """
    claimed = policy if isinstance(policy, ClaimedPolicy) else read_policy(policy)
    source = open_store(store)
    source.require_split(split)
    if cost is not None and claimed.cost not in (None, cost) and claimed.average_cost is not None:
        raise UsageError(f"{option('cost', cost)}: the average cost is claimed in {claimed.cost!r}; audit that")
    committee = as_committee(claimed, source, split, cost)
    source = judged([committee], source, split)
    pool = members_pool([committee], source, split, force=force)
    (evaluation,) = evaluate_in(pool, [committee], threads)
    outcomes = outcomes_in(pool, committee, threads)
    answering = answering_costs(pool, outcomes)
    cost_interval = mean_interval(outcomes.cost, bounds=outcomes.cost_range)
    quality = average = None
    if claimed.quality is not None:
        quality = Claim(claimed.quality, evaluation.quality, evaluation.interval)
    if claimed.average_cost is not None:
        average = Claim(claimed.average_cost, evaluation.average_cost, cost_interval)
    alone = float(answering.mean()), mean_interval(answering, bounds=(0.0, outcomes.cost_range[1]))
    return Audited(evaluation, cost_interval, *alone, quality, average)


def as_committee(claimed: ClaimedPolicy, store: LogitStore, split: str, cost: str | None) -> Committee:
    """The policy as a committee of the store's models, with defaults that fit their outputs."""
    known = store.models(split)
    cards = [store.card(model, split) for stage in claimed.stages for model in stage if model in known]
    settled = any(card.kind in UNAVERAGED for card in cards)
    named = cost or claimed.cost or default_cost(cards)
    committee = claimed.to_committee("confidence" if settled else "max_prob", named)
    return committee if cost is None else replace(committee, cost=cost)


def answering_costs(pool: Pool, outcomes: UnitOutcomes) -> Numbers:
    """float64 [N]: the cost of the models of the stage at which each unit exits, as if no other had run."""
    costs = [pool.cost.stages([stage])[0] for stage in stage_indices(pool, outcomes.committee)]
    every = np.stack([np.broadcast_to(cost, len(outcomes)) for cost in costs])
    return every[outcomes.stage, np.arange(len(outcomes))] * float(pool.cost.unit)
