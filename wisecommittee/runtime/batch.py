"""Units on their way through a running committee: a UnitBatch of committees/walk.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import Route, State
from wisecommittee.runtime.combination import Ran
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.rows import taken

if TYPE_CHECKING:
    from wisecommittee.runtime.runtime import Runtime


@dataclass(slots=True)
class RuntimeBatch:
    """Units that have run the same stages.

    Parameters
    ----------
    runtime : Runtime
    committee : Committee
        That of the runtime, or a part of it.
    index : int64 [n]
        Positions among all units of the call.
    inputs : n units
    known : Known
        Of the n units.
    ran : {member: Ran}
        The members that have run, in the order in which they ran; of an unordered policy, in the order of the stages.
    prediction : integer class or text [n]
        After the newest stage.
    scores : tuple of float32 [n]
        The confidence after each stage that has run.
    """

    runtime: Runtime
    committee: Committee
    index: NDArray[np.int64]
    inputs: Any
    known: Known
    ran: Mapping[str, Ran] = field(default_factory=dict)
    prediction: NDArray[np.generic] = field(default_factory=lambda: np.empty(0, np.int64))
    scores: tuple[NDArray[np.float32], ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    def run(self, route: Route, stage: int) -> State:
        """Run the members of a stage; their outputs stay in this batch."""
        if route:
            new = {name: self.runtime.ran(name, self.inputs) for name in self.committee.stages[stage]}
            self.put(new)
        return self.state(route)

    def put(self, new: Mapping[str, Ran]) -> None:
        """Keep what the members of a stage gave."""
        ran = {**self.ran, **new}
        if self.committee.policy.unordered:
            ran = {name: ran[name] for name in self.committee.models if name in ran}
        self.ran = ran
        self.prediction, score = self.runtime.combination.judge(self.ran)
        self.scores = (*self.scores, score)

    def state(self, route: Route) -> State:
        """What the policy may read, after the stages of a route."""
        combination, needs = self.runtime.combination, self.committee.policy.needs
        alone = {}
        if needs & {"members", "member_scores"}:
            alone = {name: combination.judge({name: ran}) for name, ran in self.ran.items()}
        return State(
            route,
            len(self.committee.stages),
            np.array(self.scores, np.float32).reshape(len(route), len(self)),
            combination.scale,
            self.prediction if "prediction" in needs else None,
            {name: each.prediction for name, each in alone.items()} if "members" in needs else {},
            {name: each.score for name, each in alone.items()} if "member_scores" in needs else {},
            combination.log_probabilities(self.ran) if "outputs" in needs else {},
            self.known.unit_ids,
            self.known.features,
        )

    def of_part(self, number: int) -> tuple[RuntimeBatch, NDArray[np.int64]]:
        policy = self.committee.policy
        assert isinstance(policy, Mixing)
        assert self.known.unit_ids is not None
        return replace(self, committee=policy.parts[number]), np.flatnonzero(
            policy.drawn(self.known.unit_ids) == number
        )

    def only(self, rows: NDArray[np.int64]) -> RuntimeBatch:
        return replace(
            self,
            index=self.index[rows],
            inputs=taken(self.inputs, rows),
            known=self.known.only(rows),
            ran={name: each.only(rows) for name, each in self.ran.items()},
            prediction=self.prediction[rows] if self.scores else self.prediction,
            scores=tuple(score[rows] for score in self.scores),
        )
