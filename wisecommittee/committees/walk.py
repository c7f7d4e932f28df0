"""The cascade: units go from stage to stage until the policy lets them exit (Wang et al. 2022, Algorithm 1).

The units are a UnitBatch: stored outputs (searches/exits.py) or members at work (runtime/batch.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import EXIT, Policy, Route, State, extended, following
from wisecommittee.errors import CommitteeError


class UnitBatch(Protocol):
    """Units that have run the same stages."""

    def __len__(self) -> int: ...

    def only(self, rows: NDArray[np.int64]) -> Self:
        """The units at these positions of the batch."""
        ...

    def of_part(self, number: int) -> tuple[Self, NDArray[np.int64]]:
        """The batch for a part of a mixture, and the positions of the units that run it."""
        ...


class StoredBatch(UnitBatch, Protocol):
    """Units whose outputs are at hand."""

    def run(self, route: Route, stage: int) -> State:
        """Run a stage, after the other stages of `route`; the empty route (stage -1) runs nothing."""
        ...


MOST_NUMBERS = 1 << 26  # that a policy holds at a time, half a gigabyte; a small file can ask for any number of them
PROVIDED = frozenset(
    {"last_score", "prediction", "members", "member_scores", "outputs", "unit_ids", "features"}
)  # what a policy may need
AnyBatch = TypeVar("AnyBatch", bound=UnitBatch)
AnyStored = TypeVar("AnyStored", bound=StoredBatch)


class Exits(NamedTuple, Generic[AnyBatch]):
    """Units that exit together.

    route : the stages that they have run. batch, rows : they are at positions int64 [m] of this batch. answer : integer
    class or text [m], if the policy answers; else None. state : of all units of the batch.
    """

    route: Route
    batch: AnyBatch
    rows: NDArray[np.int64]
    answer: NDArray[np.generic] | None
    state: State


@dataclass(frozen=True, slots=True)
class Waiting(Generic[AnyBatch]):
    """Units that wait for a stage.

    policy : decides about them. after : {route: the stages that can follow}. route : the stages that they have run once
    `stage` has run too; empty, with stage -1, before the first.
    """

    policy: Policy
    after: Mapping[Route, Set[int]]
    route: Route
    stage: int
    batch: AnyBatch

    def decided(self, state: State) -> tuple[Exits[AnyBatch] | None, list[Waiting[AnyBatch]]]:
        """The units that exit now, if any, and the others before their next stages.

        state : State of the batch, after the stage.
        """
        return self.sent(state, self.going(state), answered=self.policy.answers)

    def going(self, state: State) -> NDArray[np.int64]:
        """int64 [n]: EXIT or the next stage of every unit, by the policy."""
        return _decided(self.policy, state, self.after.get(self.route, set()))

    def sent(
        self, state: State, going: NDArray[np.int64], *, answered: bool
    ) -> tuple[Exits[AnyBatch] | None, list[Waiting[AnyBatch]]]:
        """As `decided`, where it is known what each unit does; going : int64 [n], EXIT or its next stage; answered :
        whether the policy answers the units that exit."""
        policy, route, batch = self.policy, self.route, self.batch
        exits, ahead = None, []
        if route and len(rows := np.flatnonzero(going == EXIT)):
            exits = Exits(route, batch, rows, _answer(policy, state, rows) if answered else None, state)
        taken = np.bincount(going.astype(np.int64, copy=False) - EXIT, minlength=1)  # units per stage, from EXIT on
        for stage in np.flatnonzero(taken[1:]).tolist():
            rows = np.flatnonzero(going == stage)
            left = batch if len(rows) == len(batch) else batch.only(rows)
            onwards = extended(route, stage, unordered=policy.unordered)
            ahead.append(Waiting(policy, self.after, onwards, stage, left))
        return exits, ahead


def entering(committee: Committee, batch: AnyBatch) -> list[Waiting[AnyBatch]]:
    """The units of a batch that have run nothing yet: a group for each part of a mixture, else one; none if empty."""
    if isinstance(committee.policy, Mixing):
        parts = [(part, *batch.of_part(number)) for number, part in enumerate(committee.parts)]
        return [group for part, alone, rows in parts for group in entering(part, alone.only(rows))]
    policy = committee.policy
    if unknown := policy.needs - PROVIDED:
        raise CommitteeError(
            f"policy {policy.kind!r} needs {', '.join(sorted(unknown))}, which nothing provides; known: "
            f"{', '.join(sorted(PROVIDED))}"
        )
    after = following(committee.routes, unordered=policy.unordered)
    return [Waiting(policy, after, (), -1, batch)] if len(batch) else []


def walk(committee: Committee, batch: AnyStored) -> Iterator[Exits[AnyStored]]:
    """Send the units of a batch from stage to stage until every one has exited.

    Parameters
    ----------
    committee : Committee
    batch : StoredBatch
        Units that have run nothing yet.

    Yields
    ------
    Exits
        Every unit of the first batch is yielded once.
    """
    waiting = entering(committee, batch)
    while waiting:
        group = waiting.pop()
        exits, ahead = group.decided(group.batch.run(group.route, group.stage))
        if exits is not None:
            yield exits
        waiting += ahead


def _in_blocks(decide: Callable[[State], NDArray[np.generic]], policy: Policy, state: State) -> NDArray[np.generic]:
    """What a method of the policy says of every unit, asked of as many at a time as memory allows."""
    step = max(1, MOST_NUMBERS // max(1, policy.numbers_per_unit))
    if len(state) <= step:
        return decide(state)
    blocks = [np.arange(start, min(start + step, len(state))) for start in range(0, len(state), step)]
    return np.concatenate([np.asarray(decide(state.only(rows))) for rows in blocks])


def _answer(policy: Policy, state: State, rows: NDArray[np.int64]) -> NDArray[np.generic]:
    answer = np.asarray(_in_blocks(policy.answer, policy, state if len(rows) == len(state) else state.only(rows)))
    if answer.shape != rows.shape or answer.dtype.kind not in "iuU":
        raise CommitteeError(
            f"policy {policy.kind!r} answers {answer.dtype} {list(answer.shape)} for {len(rows):,} units; expected a "
            f"class or a text for each"
        )
    return answer


def _decided(policy: Policy, state: State, after: Set[int]) -> NDArray[np.int64]:
    """int64 [n]: EXIT or the next stage of every unit; after : the stages that may come next."""
    if not after:
        return np.full(len(state), EXIT)
    if not state.route and len(after) == 1:
        return np.full(len(state), next(iter(after)))
    going = np.asarray(_in_blocks(policy.next, policy, state))
    if going.shape != (len(state),) or going.dtype.kind not in "iu":
        raise CommitteeError(
            f"policy {policy.kind!r} answers with {going.dtype} {list(going.shape)} for {len(state):,} units; expected "
            f"one whole number for each: {EXIT} to exit, else the next stage"
        )
    allowed = after | ({EXIT} if state.route else set())
    if wrong := sorted(set(np.unique(going).tolist()) - allowed):
        raise CommitteeError(
            f"policy {policy.kind!r} sends units from stages {list(state.route)} to {wrong[0]}; its `routes` allow "
            f"{', '.join(map(str, sorted(allowed)))}"
        )
    return going
