"""One threshold on the confidence for every stage but the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import NO_CONFIDENCE, scale_of
from wisecommittee.committees.policy import Policy, State, reaches
from wisecommittee.committees.reasons import Reason, compared
from wisecommittee.errors import CommitteeError, counted


@dataclass(frozen=True, slots=True)
class Thresholds(Policy):
    """Exit at stage k iff the confidence is at least values[k] (Wang et al. 2022, Algorithm 1).

    Parameters
    ----------
    values : tuple of float
        A float32 number for every stage but the last.
    log_odds : tuple of (float or None)
        A number that decides instead of values[k] where float32 cannot express that threshold (near 1, or near 0 for
        neg_entropy), else None; empty if no stage has one. Exit iff log(p / (1 - p)) >= log_odds[k] for p = max_prob or
        prob_gap, iff -log(-neg_entropy) >= log_odds[k] for neg_entropy. No other confidence has log-odds. values[k] is
        the same threshold, rounded to float32.
    """

    values: tuple[float, ...] = ()
    log_odds: tuple[float | None, ...] = ()
    kind: ClassVar[str] = "thresholds"

    def __post_init__(self) -> None:
        for value in self.values:
            if not math.isfinite(value):
                raise CommitteeError(f"threshold {value!r} is not finite; merge the stages instead of never exiting")
        if len(self.log_odds) not in (0, len(self.values)):
            raise CommitteeError(
                f"{counted(len(self.log_odds), 'number')} of log-odds for {counted(len(self.values), 'threshold')}; "
                f"expected one for each, or null"
            )

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float | None]]) -> Self:
        """From (value, log-odds or None) of every stage but the last."""
        odds = tuple(log_odds for _, log_odds in pairs)
        return cls(tuple(value for value, _ in pairs), odds if any(number is not None for number in odds) else ())

    @property
    def pairs(self) -> list[tuple[float, float | None]]:
        """(value, log-odds or None) of every stage but the last."""
        return list(zip(self.values, self.log_odds or (None,) * len(self.values), strict=True))

    def next(self, state: State) -> NDArray[np.int64]:
        value, log_odds = self.pairs[state.stage]
        (threshold,) = state.scale.carried([value], [log_odds])
        return state.exit_where(reaches(state.scores[-1], threshold))

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        value, log_odds = self.pairs[state.stage]
        return [compared(confidence, state.scale, state.scores[-1, 0], value, log_odds)]

    def check(self, stages: int, confidence: str) -> None:
        if len(self.values) != stages - 1:
            raise CommitteeError(
                f"{counted(len(self.values), 'threshold')} for {counted(stages, 'stage')}; "
                f"expected {stages - 1}: one for every stage but the last"
            )
        if self.values and confidence == NO_CONFIDENCE:
            raise CommitteeError(
                "thresholds compare a confidence, and this committee has none; name a stored score, or take a policy "
                "without"
            )
        for value, log_odds in self.pairs:
            if log_odds is not None:
                check_log_odds(value, log_odds, confidence)

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return [condition(confidence, value, log_odds) for value, log_odds in self.pairs]


def condition(confidence: str, value: float, log_odds: float | None) -> str:
    """The condition of a threshold, as text: 'max_prob >= 0.83'."""
    if log_odds is None:
        return f"{confidence} >= {value:.6g}"
    odds = f"-log(-{confidence})" if confidence == "neg_entropy" else f"log-odds of {confidence}"
    return f"{odds} >= {log_odds:.6g}"


def check_log_odds(threshold: float, log_odds: float, confidence: str) -> None:
    """CommitteeError unless the log-odds are those of the threshold, rounded to float32."""
    scale = scale_of(confidence)
    if not scale.saturates or not math.isfinite(log_odds):
        raise CommitteeError(f"log-odds {log_odds!r} for a threshold on {confidence}, which has none")
    (carried,) = scale.carried([threshold], [log_odds])
    meant, _ = scale.threshold(carried)
    if abs(meant - threshold) > 1e-6:
        raise CommitteeError(
            f"threshold {threshold!r} and its log-odds {log_odds!r}, which mean {confidence} {meant:.8g}; change "
            f"both, or leave the log-odds out"
        )
