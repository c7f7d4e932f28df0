"""Learned deferral: a unit exits where the next stage is not expected to gain enough."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import shown
from wisecommittee.committees.policies.answering import Answering, Rule, answering_from_json
from wisecommittee.committees.policies.evidence import (
    Output,
    Source,
    linear,
    members_evidence,
    members_width,
    numbers,
)
from wisecommittee.committees.policy import Policy, State, reaches
from wisecommittee.committees.reasons import Reason, bounded
from wisecommittee.committees.scale import Scale
from wisecommittee.errors import CommitteeError


@dataclass(frozen=True, slots=True)
class Deferral(Policy):
    """Exit at stage k iff -gain(x) >= thresholds[k], where gain(x) estimates from the outputs x so far the probability
    that the committee is right after the next stage, minus the probability that it is right now.

    Parameters
    ----------
    sizes : tuple of int
        How many members have run after each stage.
    members : tuple of {"knots", "labels"}
        For every member, in the order of the stages, how its label and its confidence enter the evidence
        (committees/policies/evidence.py).
    gains : tuple of tuples of float
        For every stage but the last a constant and the coefficients of the gain, linear in the evidence of the members
        that have run and of the answer.
    thresholds : tuple of float
        A float32 number for every stage but the last.
    answering : {"kind": "rule" | "posterior" | "weights", ..}
        Who answers (committees/policies/answering.py).
    answered : tuple of {"knots", "labels"}
        For every stage but the last how the answer enters the evidence; empty if it does not: where the newest member
        answers, the evidence has its columns already.

    References
    ----------
    Jitkrittum et al. 2023, "When does confidence-based cascade deferral suffice?": the optimal rule defers iff the
    difference of the two probabilities exceeds the cost of deferring, and models fitted after training estimate it.
    Departs: each stage has a threshold of its own.
    """

    sizes: tuple[int, ...]
    members: tuple[Mapping[str, Any], ...]
    gains: tuple[tuple[float, ...], ...] = ()
    thresholds: tuple[float, ...] = ()
    answering: Mapping[str, Any] = field(default_factory=lambda: {"kind": "rule"})
    answered: tuple[Mapping[str, Any], ...] = ()
    _parameters: _Parameters = field(init=False, repr=False, compare=False)
    kind: ClassVar[str] = "deferral"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parameters", _parameters_of(self))

    @property
    def needs(self) -> frozenset[str]:
        """Fields of a State that it reads."""
        return self._parameters.answering.needs | {"members", "member_scores"}

    @property
    def numbers_per_unit(self) -> int:
        parameters = self._parameters
        sources = sum(source.width for source in parameters.answered)
        return 3 * (members_width(parameters.members) + sources) + parameters.answering.numbers_per_unit

    @property
    def answers(self) -> bool:
        """Whether it answers itself."""
        return not self.combines

    @property
    def combines(self) -> bool:
        """Whether the combining rule answers."""
        return isinstance(self._parameters.answering, Rule)

    def next(self, state: State) -> NDArray[np.int64]:
        return state.exit_where(reaches(-self._gain(state), self.thresholds[state.stage]))

    def _gain(self, state: State) -> NDArray[np.float32]:
        """float32 [n]: the estimated gain of the next stage."""
        evidence, parameters = self._evidence(state), self._parameters
        if parameters.answered:
            answer = parameters.answering.output(state, evidence)
            evidence = np.concatenate([evidence, parameters.answered[state.stage].columns(answer)], axis=1)
        return np.asarray(linear(evidence, parameters.gains[state.stage]).astype(np.float32))

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        gain, most = self._gain(state), -self.thresholds[state.stage]
        met = bool(reaches(-gain, self.thresholds[state.stage])[0])
        return [bounded("estimated gain of the next stage", float(gain[0]), most, met=met, most=True)]

    def answer(self, state: State) -> NDArray[np.generic]:
        return self._parameters.answering.output(state, self._evidence(state)).label

    def certainty(self, state: State) -> tuple[NDArray[np.float32], Scale]:
        if self.combines:
            return Policy.certainty(self, state)
        answering = self._parameters.answering
        return answering.certainty(answering.output(state, self._evidence(state)))

    def _evidence(self, state: State) -> NDArray[np.float64]:
        """float64 [n, F]: of the members that have run."""
        sources = self._parameters.members[: self.sizes[state.stage]]
        scores = [state.scale.log(score) for score in state.member_scores.values()]
        return members_evidence(sources, [*map(Output, state.members.values(), scores)])

    def check_members(self, stages: Sequence[Sequence[str]]) -> None:
        sizes = [*itertools.accumulate(map(len, stages))]
        if sizes != list(self.sizes):
            raise CommitteeError(
                f"policy {self.kind!r} is for {list(self.sizes)} members after each stage; the committee has {sizes}"
            )

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return [f"estimated gain of the next stage <= {-threshold:.6g}" for threshold in self.thresholds]


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters of a Deferral as arrays."""

    members: tuple[Source, ...]
    gains: tuple[NDArray[np.float64], ...]
    answering: Answering
    answered: tuple[Source, ...]


def _parameters_of(policy: Deferral) -> _Parameters:
    """CommitteeError for parameters that do not fit each other, or are no numbers."""
    sizes = policy.sizes
    if not isinstance(sizes, tuple) or not sizes or any(type(size) is not int for size in sizes):
        raise CommitteeError(f"sizes {shown(sizes)}; expected whole numbers")
    if sizes[0] < 1 or any(a >= b for a, b in itertools.pairwise(sizes)):
        raise CommitteeError(f"sizes {shown(sizes)}; expected ascending numbers from 1")
    members, answered = (_sources(getattr(policy, name), name) for name in ("members", "answered"))
    gains = policy.gains
    if not isinstance(gains, tuple):
        raise CommitteeError(f"gains {shown(gains)}; expected a list for every stage but the last")
    counts = {
        "members": (len(members), sizes[-1]),
        "gains": (len(gains), len(sizes) - 1),
        "thresholds": (len(numbers(policy.thresholds, "thresholds")), len(sizes) - 1),
        "answered": (len(answered), len(sizes) - 1 if answered else 0),
    }
    for name, (found, expected) in counts.items():
        if found != expected:
            raise CommitteeError(f"{found} {name} for members {shown(sizes)} after each stage; expected {expected}")
    widths = [members_width(members[:size]) for size in sizes]
    answering = answering_from_json(policy.answering)
    answering.check(sizes, widths)
    arrays = tuple(np.array(numbers(stage, "gains")) for stage in gains)
    for k, stage in enumerate(arrays):
        expected = 1 + widths[k] + (answered[k].width if answered else 0)
        if len(stage) != expected:
            raise CommitteeError(f"gain of stage {k} with {len(stage)} coefficients; expected {expected}")
    return _Parameters(members, arrays, answering, answered)


def _sources(values: Any, name: str) -> tuple[Source, ...]:
    if not isinstance(values, tuple):
        raise CommitteeError(f"{name} {shown(values)}; expected a list of objects")
    return tuple(map(Source.from_json, values))
