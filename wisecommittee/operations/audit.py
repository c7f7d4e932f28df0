"""A policy that another tool chose, on the user's store: its figures with every model that ran charged, beside what the
tool claims.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import default_cost
from wisecommittee.errors import UsageError, option
from wisecommittee.operations.outcomes import Numbers, UnitOutcomes, outcomes_in
from wisecommittee.operations.policy_file import ClaimedPolicy, read_policy
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.stages.exit_table import stage_indices
from wisecommittee.searches.stages.pool import UNAVERAGED, Pool
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.store import LogitStore, StoreLike, open_store

FEWEST_DIGITS = 0.02  # a claim of one digit counts as rounded to 2 %


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure that a tool claims, beside the measured one.

    Parameters
    ----------
    claimed, measured : float
    interval : (float, float)
        95 % interval of the measured figure.
    """

    claimed: float
    measured: float
    interval: tuple[float, float]

    @property
    def within(self) -> bool:
        """Whether the claim lies within the interval."""
        return self.interval[0] <= self.claimed <= self.interval[1]

    def to_json(self) -> dict[str, Any]:
        """{"claimed", "measured", "difference", "interval", "within"}; difference : measured minus claimed."""
        return {
            "claimed": self.claimed,
            "measured": self.measured,
            "difference": self.measured - self.claimed,
            "interval": list(self.interval),
            "within": self.within,
        }


@dataclass(frozen=True, slots=True)
class Audited:
    """A policy on a store.

    Parameters
    ----------
    evaluation : Evaluation
        Every model that ran is charged.
    cost_interval : (float, float)
        95 % interval of the average cost.
    answering_cost : float
        Average cost if only the models of the stage that answers are charged: too low, a common mistake.
    answering_interval : (float, float)
    quality, average_cost : Claim or None
        None where the tool claims nothing.
    """

    evaluation: Evaluation
    cost_interval: tuple[float, float]
    answering_cost: float
    answering_interval: tuple[float, float]
    quality: Claim | None
    average_cost: Claim | None

    @property
    def forgets_models(self) -> bool:
        """Whether the claimed cost is, within its rounding, that of the answering models alone and not the measured."""
        claim = self.average_cost
        if claim is None or rounds_to(claim.measured, claim.claimed):
            return False
        return rounds_to(self.answering_cost, claim.claimed)

    @property
    def may_forget_models(self) -> bool:
        """Whether the claimed cost fits the answering models alone, and not every model that ran: it lies in the
        interval of the one only."""
        claim = self.average_cost
        if claim is None or claim.within:
            return False
        return self.answering_interval[0] <= claim.claimed <= self.answering_interval[1]

    def to_json(self) -> dict[str, Any]:
        """The object that `audit --json` prints."""
        cost = None
        if self.average_cost is not None:
            doubts = {"is_answering_cost": self.forgets_models, "fits_answering_cost": self.may_forget_models}
            cost = {**self.average_cost.to_json(), **doubts}
        return {
            "committee": self.evaluation.committee.to_json(),
            "split": self.evaluation.split,
            **self.evaluation.figures(),
            "cost_interval": list(self.cost_interval),
            "answering_cost": self.answering_cost,
            "answering_cost_interval": list(self.answering_interval),
            "claims": {"quality": None if self.quality is None else self.quality.to_json(), "average_cost": cost},
        }


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


def rounds_to(value: float, claimed: float) -> bool:
    """Whether a value becomes the claimed one when it is rounded to as many digits.

    A claim of one digit stands for values within 2 % of it.
    """
    digits = Decimal(repr(claimed)).normalize()
    half = float(Decimal(5).scaleb(int(digits.as_tuple().exponent) - 1))
    return abs(value - claimed) <= max(min(half, FEWEST_DIGITS * abs(claimed)), 1e-9 * abs(claimed))
