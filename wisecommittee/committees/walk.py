"""The cascade: units go from stage to stage until the policy lets them exit (Wang et al. 2022, Algorithm 1).

The units are a UnitBatch: stored outputs (searches/exits.py) or deployed models (deployment/deployed.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import EXIT, Policy, Route, State
from wisecommittee.errors import CommitteeError


class UnitBatch(Protocol):
    """Units that have run the same stages."""

    def __len__(self) -> int: ...

    def run(self, route: Route) -> State:
        """Run the newest stage of `route`, after its earlier stages; the empty route runs nothing."""
        ...

    def only(self, rows: NDArray[np.int64]) -> Self:
        """The units at these positions of the batch."""
        ...


FILLED = frozenset({"prediction", "members", "unit_ids"})  # fields of a State that every UnitBatch can fill
AnyBatch = TypeVar("AnyBatch", bound=UnitBatch)


def walk(committee: Committee, batch: AnyBatch) -> Iterator[tuple[Route, AnyBatch, NDArray[np.int64]]]:
    """Send the units of a batch from stage to stage until every one has exited.

    Parameters
    ----------
    committee : Committee
    batch : UnitBatch
        Units that have run nothing yet.

    Yields
    ------
    (route, batch, rows)
        The units at positions `rows` (int64 [m]) of a batch exit after the stages of `route`. Every unit of the first
        batch is yielded once.
    """
    if unknown := committee.policy.needs - FILLED:
        raise CommitteeError(
            f"policy {committee.policy.kind!r} needs {', '.join(sorted(unknown))}, which nothing provides; known: "
            f"{', '.join(sorted(FILLED))}"
        )
    following: dict[Route, set[int]] = {}
    for route in committee.routes:
        following.setdefault(route[:-1], set()).add(route[-1])
    waiting: list[tuple[Route, AnyBatch]] = [((), batch)] if len(batch) else []
    while waiting:
        route, batch = waiting.pop()
        going = _decided(committee.policy, batch.run(route), following.get(route, set()))
        if route:
            yield route, batch, np.flatnonzero(going == EXIT)
        for stage in following.get(route, ()):
            if len(rows := np.flatnonzero(going == stage)):
                waiting.append(((*route, stage), batch if len(rows) == len(batch) else batch.only(rows)))


def _decided(policy: Policy, state: State, following: set[int]) -> NDArray[np.int64]:
    """int64 [n]: EXIT or the next stage of every unit; following : the stages that may come next."""
    if not following:
        return np.full(len(state), EXIT)
    if not state.route and len(following) == 1:
        return np.full(len(state), next(iter(following)))
    going = np.asarray(policy.next(state))
    if going.shape != (len(state),) or going.dtype.kind not in "iu":
        raise CommitteeError(
            f"policy {policy.kind!r} answers with {going.dtype} {list(going.shape)} for {len(state):,} units; expected "
            f"one whole number for each: {EXIT} to exit, else the next stage"
        )
    allowed = following | ({EXIT} if state.route else set())
    if wrong := sorted(set(np.unique(going).tolist()) - allowed):
        raise CommitteeError(
            f"policy {policy.kind!r} sends units from stages {list(state.route)} to {wrong[0]}; its `routes` allow "
            f"{', '.join(map(str, sorted(allowed)))}"
        )
    return going
