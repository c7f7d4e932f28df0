"""Units on their way through a running committee: a UnitBatch of committees/walk.py."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT, Route, State
from wisecommittee.committees.scale import LEAST
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.ran import Judged, Ran
from wisecommittee.runtime.rows import form, joined, taken

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
        Each has failed for all of the units or for none.
    judged : Judged
        Prediction and confidence of those that have not failed.
    scores : tuple of float32 [n]
        The confidence after each stage that has run; the least float32 where a member of that stage failed.
    unsure : bool
        Whether a member of the newest stage failed.
    """

    runtime: Runtime
    committee: Committee
    index: NDArray[np.int64]
    inputs: Any
    known: Known
    ran: Mapping[str, Ran] = field(default_factory=dict)
    judged: Judged | None = None
    scores: tuple[NDArray[np.float32], ...] = ()
    unsure: bool = False

    def __len__(self) -> int:
        return len(self.index)

    @property
    def said(self) -> dict[str, Ran]:
        """The members that have run and not failed."""
        return {name: ran for name, ran in self.ran.items() if not ran.failed}

    @property
    def incomplete(self) -> bool:
        """Whether a member has failed."""
        return any(ran.failed for ran in self.ran.values())

    def put(self, new: Mapping[str, Ran]) -> None:
        """Keep what the members of a stage gave."""
        ran = {**self.ran, **new}
        if self.committee.policy.unordered:
            ran = {name: ran[name] for name in self.committee.models if name in ran}
        self.ran, self.unsure = ran, any(each.failed for each in new.values())
        least = np.full(len(self), LEAST, np.float32)
        said = self.said
        self.judged = self.runtime.combination.judge(said) if said else Judged(self.no_answer(), least)
        self.scores = (*self.scores, least if self.unsure else self.judged.score)

    def state(self, route: Route) -> State:
        """What the policy may read, after the stages of a route."""
        combination, needs = self.runtime.combination, self.committee.policy.needs
        alone, prediction = {}, None
        if "prediction" in needs and self.judged is not None:
            prediction = self.no_answer() if self.unsure else self.judged.prediction
        if needs & {"members", "member_scores"}:
            lost = Judged(self.no_answer(), np.full(len(self), LEAST, np.float32))
            alone = {name: lost if each.failed else combination.judge({name: each}) for name, each in self.ran.items()}
        return State(
            route,
            len(self.committee.stages),
            np.array(self.scores, np.float32).reshape(len(route), len(self)),
            combination.scale,
            prediction,
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
            judged=None if self.judged is None else self.judged.only(rows),
            scores=tuple(score[rows] for score in self.scores),
        )

    @property
    def form(self) -> Hashable:
        """Equal for units that can be joined, if the same part of the committee has run the same stages for them."""
        return form(self.inputs), self.known.form, tuple(ran.form for ran in self.ran.values())

    @classmethod
    def joined(cls, parts: Sequence[RuntimeBatch]) -> RuntimeBatch:
        """The units of all parts, which have the same form, in their order."""
        first, sizes = parts[0], [len(part) for part in parts]
        if len(parts) == 1:
            return first
        judged = [part.judged for part in parts if part.judged is not None]
        return replace(
            first,
            index=np.concatenate([part.index for part in parts]),
            inputs=joined([part.inputs for part in parts]),
            known=Known.joined([part.known for part in parts]),
            ran={name: Ran.joined([part.ran[name] for part in parts], sizes) for name in first.ran},
            judged=Judged.joined(judged) if judged else None,
            scores=tuple(map(np.concatenate, zip(*(part.scores for part in parts), strict=True))),
        )

    def no_answer(self) -> NDArray[np.generic]:
        """No answer, for each unit, of the kind of the answers so far."""
        kinds = {ran.answers.dtype.kind for ran in self.ran.values() if ran.answers is not None}
        none: str | int = self.runtime.combination.no_answer
        if kinds:
            none = NO_TEXT if "U" in kinds else NO_CLASS
        return np.full(len(self), none)
