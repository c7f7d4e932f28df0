"""Where units go on after a stage: by the policy, and where a member failed, on to the stages that are left."""

from __future__ import annotations

import numpy as np

from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policy import EXIT
from wisecommittee.committees.walk import Exits, Waiting
from wisecommittee.runtime.batch import RuntimeBatch

Group = Waiting[RuntimeBatch]


def decided(group: Group) -> tuple[Exits[RuntimeBatch] | None, list[Group]]:
    """The units that exit, if any, and the others before their next stages.

    If a member of the newest stage failed, no unit exits as long as a stage can follow: units that the policy would let
    exit run the first of the stages that can follow. A policy that reads every member's outputs is not asked any more
    once one has failed: its units run the stages that can follow, in order, up to the last, and get the answer of the
    combination; no answer, if they can go without (abstaining). Units that no member has answered, and that no stage
    can follow, run the other stages of the committee in order, until a member answers.
    """
    batch, policy, route = group.batch, group.policy, group.route
    state = batch.state(route)
    if not batch.incomplete:
        return group.decided(state)
    ahead = sorted(group.after.get(route, ()))
    if not ahead and not batch.said:
        ahead = [stage for stage in range(len(batch.committee.stages)) if stage not in route]
        return group.sent(state, np.full(len(batch), ahead[0] if ahead else EXIT), answered=False)
    if ahead and policy.needs_every_member:
        return group.sent(state, np.full(len(batch), ahead[0]), answered=False)
    if not ahead:
        answered = policy.answers and not policy.needs_every_member
        exits, _ = group.sent(state, np.full(len(batch), EXIT), answered=answered)
        if exits is not None and isinstance(policy, Abstaining) and not answered:
            exits = exits._replace(answer=batch.no_answer())
        return exits, []
    going = group.going(state)
    if batch.unsure:
        going = np.where(going == EXIT, ahead[0], going)
    return group.sent(state, going, answered=policy.answers)
