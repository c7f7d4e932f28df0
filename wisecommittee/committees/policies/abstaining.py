"""No answer where the confidence is too low: another policy, with a last threshold for every stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.committees.fields import shown
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policies.thresholds import Thresholds, check_log_odds, condition
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT, Policy, Route, State, reaches
from wisecommittee.committees.reasons import Reason, compared
from wisecommittee.errors import CommitteeError, counted

MOST = 3.4e38  # of float32


@dataclass(frozen=True, slots=True)
class Abstaining(Policy):
    """Run the stages that another policy says, and answer a unit iff its confidence where it exits is large enough
    (selective classification: Geifman and El-Yaniv 2017).

    Confidences after different stages are those of different models, so each stage has its own threshold.

    Parameters
    ----------
    policy : Policy
        Says which stages a unit runs, and the answer.
    least : tuple of (float or None)
        For every stage, the least confidence of the units that exit there and are answered; None: none is answered.
    least_log_odds : tuple of (float or None)
        As `log_odds` of Thresholds; empty if no stage has one.
    """

    policy: Policy
    least: tuple[float | None, ...]
    least_log_odds: tuple[float | None, ...] = ()
    kind: ClassVar[str] = "abstaining"
    answers: ClassVar[bool] = True
    abstains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        inner = self.policy
        if not isinstance(inner, Policy) or isinstance(inner, Abstaining | Mixing):
            raise CommitteeError('"policy" must be a policy that neither abstains nor mixes')
        if not (inner.combines or _has_its_own(inner)):
            raise CommitteeError(f"the policy {inner.kind!r} has no confidence by which it could abstain")
        if isinstance(inner, Thresholds):
            _check_numbers(inner.values, "values")
            _check_numbers(inner.log_odds, "log_odds", optional=True)
        _check_numbers(self.least, "least", optional=True)
        _check_numbers(self.least_log_odds, "least_log_odds", optional=True)
        if len(self.least_log_odds) not in (0, len(self.least)):
            raise CommitteeError('"least_log_odds" must have a number or null for each of "least"')

    @classmethod
    def of(cls, policy: Policy, pairs: Sequence[tuple[float, float | None] | None]) -> Self:
        """From (confidence, log-odds or None) of every stage; None where no unit is answered."""
        odds = tuple(None if pair is None else pair[1] for pair in pairs)
        least = tuple(None if pair is None else pair[0] for pair in pairs)
        return cls(policy, least, odds if any(number is not None for number in odds) else ())

    @property
    def words(self) -> str:
        return self.policy.words

    @property
    def needs(self) -> frozenset[str]:
        answer = frozenset() if self.policy.answers else {"prediction"}
        confidence = frozenset() if _has_its_own(self.policy) else {"last_score"}
        return self.policy.needs | answer | confidence

    @property
    def needs_every_member(self) -> bool:
        return self.policy.needs_every_member

    @property
    def combines(self) -> bool:
        return self.policy.combines or not self.policy.answers

    @property
    def numbers_per_unit(self) -> int:
        return self.policy.numbers_per_unit

    @property
    def unordered(self) -> bool:
        return self.policy.unordered

    def next(self, state: State) -> NDArray[np.int64]:
        return self.policy.next(state)

    def certainty(self, state: State) -> tuple[NDArray[np.float32], Any]:
        return self.policy.certainty(state)

    def answer(self, state: State) -> NDArray[np.generic]:
        given = self.policy.answer(state) if self.policy.answers else state.prediction
        assert given is not None
        nothing = np.asarray(NO_TEXT if given.dtype.kind == "U" else NO_CLASS, given.dtype)
        least = self.least[state.stage]
        if least is None:
            return np.full(given.shape, nothing)
        score, scale = self.policy.certainty(state)
        odds = self.least_log_odds[state.stage] if self.least_log_odds else None
        (threshold,) = scale.carried([least], [odds])
        return np.where(reaches(score, threshold), given, nothing)

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        return self.policy.reasons(state, confidence)

    def answer_reasons(self, state: State, confidence: str) -> list[Reason]:
        inner, least = self.policy.answer_reasons(state, confidence), self.least[state.stage]
        if least is None:
            return [*inner, Reason("no unit that exits here is answered")]
        score, scale = self.policy.certainty(state)
        odds = self.least_log_odds[state.stage] if self.least_log_odds else None
        compares = compared(self._certainty_name(confidence), scale, score[0], least, odds)
        return [*inner, compares._replace(text=f"to be answered: {compares.text}")]

    def _certainty_name(self, confidence: str) -> str:
        return "the confidence of its answer" if _has_its_own(self.policy) else confidence

    def routes(self, stages: int) -> Sequence[Route]:
        return self.policy.routes(stages)

    def check(self, stages: int, confidence: str) -> None:
        self.policy.check(stages, confidence)
        if len(self.least) != stages:
            raise CommitteeError(
                f'{counted(len(self.least), "number")} in "least" for {counted(stages, "stage")}; expected one for each'
            )
        if _has_its_own(self.policy):
            return
        if not has_certainty(self.policy, confidence):
            raise CommitteeError("it abstains by a confidence, and this committee has none")
        for least, odds in zip(self.least, self.least_log_odds, strict=False):
            if odds is not None and least is None:
                raise CommitteeError(f"log-odds {odds!r} of a stage that answers nothing; expected null")
            if odds is not None and least is not None:
                check_log_odds(least, odds, confidence)

    def check_members(self, stages: Sequence[Sequence[str]]) -> None:
        self.policy.check_members(stages)

    def fee(self, cost: str) -> float:
        return self.policy.fee(cost)

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return self.policy.conditions(stages, confidence)

    def least_conditions(self, confidence: str) -> list[str | None]:
        """For every stage the condition to answer a unit that exits there, as text; None: none is answered."""
        name = self._certainty_name(confidence)
        odds = self.least_log_odds or (None,) * len(self.least)
        pairs = zip(self.least, odds, strict=True)
        return [None if least is None else condition(name, least, log_odds) for least, log_odds in pairs]

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kind": self.kind, "policy": self.policy.to_json(), "least": list(self.least)}
        return out | ({"least_log_odds": list(self.least_log_odds)} if self.least_log_odds else {})


def has_certainty(policy: Policy, confidence: str) -> bool:
    """Whether there is a confidence in what the policy answers, in a committee with the confidence of that name."""
    return _has_its_own(policy) or (policy.combines and confidence != NO_CONFIDENCE)


def _has_its_own(policy: Policy) -> bool:
    """Whether the policy has a confidence in its answers beside that of the combination of the members."""
    return not policy.combines and type(policy).certainty is not Policy.certainty


def _check_numbers(values: Any, name: str, *, optional: bool = False) -> None:
    """CommitteeError unless these are float32 numbers, or None where they are optional."""
    if not isinstance(values, tuple):
        raise CommitteeError(f'"{name}" is {shown(values)}; expected a list of numbers')
    for value in values:
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST:
            raise CommitteeError(f'"{name}" holds {shown(value)}; expected a finite float32 number')
