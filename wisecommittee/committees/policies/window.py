"""Two classes: units exit where the probability of the positive class is high or low enough."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.fields import is_float32, is_whole, shown
from wisecommittee.committees.policies.thresholds import check_log_odds
from wisecommittee.committees.policy import Policy, State, reaches
from wisecommittee.committees.reasons import Reason, bounded, compared
from wisecommittee.committees.scale import LEAST
from wisecommittee.errors import CommitteeError

Number = float | None


@dataclass(frozen=True, slots=True)
class Window(Policy):
    """Exit at stage k iff the probability of the positive class is at least high[k] or at most low[k].

    That probability is the stored score that is the committee's confidence; with `positive`, it is max_prob where the
    combination predicts that class, and 1 - max_prob where it predicts another.

    Parameters
    ----------
    low, high : tuple of (float or None)
        For every stage but the last; None: no unit exits on that side. low[k] < high[k].
    positive : int or None
        The positive class, if the confidence is max_prob.
    low_log_odds, high_log_odds : tuple of (float or None)
        Log-odds that decide instead of low[k] and high[k] where float32 cannot express the confidence, else None; empty
        if no stage has one.
    """

    low: tuple[Number, ...]
    high: tuple[Number, ...]
    positive: int | None = None
    low_log_odds: tuple[Number, ...] = ()
    high_log_odds: tuple[Number, ...] = ()
    kind: ClassVar[str] = "window"
    words: ClassVar[str] = "units exit where the positive class is likely enough, or unlikely enough"

    def __post_init__(self) -> None:
        for name in ("low", "high", "low_log_odds", "high_log_odds"):
            line = getattr(self, name)
            if not isinstance(line, tuple) or not all(x is None or is_float32(x) for x in line):
                raise CommitteeError(f"{name!r} is {shown(line)}; expected a list of float32 numbers or null")
            if len(line) != len(self.low) and (line or name == "high"):
                raise CommitteeError(f'{name!r} has {len(line)} numbers and "low" {len(self.low)}; expected as many')
        if not (self.positive is None or is_whole(self.positive)):
            raise CommitteeError(f'"positive" is {shown(self.positive)}; expected a class, or null')
        for low, high in zip(self.low, self.high, strict=True):
            if low is not None and high is not None and not low < high:
                raise CommitteeError(f'"low" {low!r} is not below "high" {high!r}')

    @property
    def needs(self) -> frozenset[str]:
        return frozenset() if self.positive is None else frozenset({"prediction"})

    def next(self, state: State) -> NDArray[np.int64]:
        k, score = state.stage, state.scores[-1]
        low, high = self.low[k], self.high[k]
        if self.positive is None:
            exits = np.zeros(len(state), bool) if high is None else reaches(score, high)
            return state.exit_where(exits if low is None else exits | (reaches(-score, -low) & (score != LEAST)))
        sides = self._sides([k])
        values = [math.inf if value is None else value for value, _ in sides]
        carried = state.scale.carried(values, [odds for _, odds in sides])
        assert state.prediction is not None
        side = (state.prediction == np.int64(self.positive)).astype(np.int64)
        return state.exit_where(reaches(score, carried[side]))

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        k, score = state.stage, state.scores[-1, 0]
        if self.positive is None:
            low, high = self.low[k], self.high[k]
            under = [] if low is None else [bounded(confidence, score, low, met=score <= np.float32(low), most=True)]
            return [*under, *([] if high is None else [compared(confidence, state.scale, score, high)])]
        assert state.prediction is not None
        positive = bool(state.prediction[0] == self.positive)
        compares = compared(confidence, state.scale, score, *self._sides([k])[positive])
        side = f"the class is {'the positive one' if positive else 'another'}"
        return [compares._replace(text=f"{compares.text}, where {side}")]

    def _sides(self, stages: Iterable[int]) -> list[tuple[Number, Number]]:
        """(threshold on max_prob, log-odds or None) for units predicted as another class, and for units predicted as
        the positive class, of each stage."""
        out: list[tuple[Number, Number]] = []
        for k in stages:
            low, odds = self.low[k], self.low_log_odds[k] if self.low_log_odds else None
            out.append((None if low is None else 1 - low, None if odds is None else -odds))
            out.append((self.high[k], self.high_log_odds[k] if self.high_log_odds else None))
        return out

    def check(self, stages: int, confidence: str) -> None:
        if len(self.low) != stages - 1:
            raise CommitteeError(
                f"policy 'window': {len(self.low)} windows for {stages} stages; expected one for every stage but the "
                f"last"
            )
        if self.positive is not None and confidence != "max_prob":
            raise CommitteeError(f"policy 'window' with a positive class goes with max_prob, not with {confidence}")
        for value, odds in self._sides(range(len(self.low))):
            if odds is not None:
                check_log_odds(math.inf if value is None else value, odds, confidence)
        if self.positive is None and (scale_of(confidence).saturates or self.low_log_odds or self.high_log_odds):
            raise CommitteeError(
                f"policy 'window' on {confidence} needs the positive class, and a score has no log-odds"
            )

    def conditions(self, stages: int, confidence: str) -> list[str]:
        name = confidence if self.positive is None else f"p({self.positive})"
        nothing = (None,) * len(self.low)
        lows = zip(self.low, self.low_log_odds or nothing, strict=True)
        highs = zip(self.high, self.high_log_odds or nothing, strict=True)
        return [
            " or ".join([*_side(name, "<=", *low), *_side(name, ">=", *high)]) or "never"
            for low, high in zip(lows, highs, strict=True)
        ]


def _side(name: str, sign: str, value: Number, log_odds: Number) -> list[str]:
    if log_odds is not None:
        return [f"log-odds of {name} {sign} {log_odds:.6g}"]
    return [] if value is None else [f"{name} {sign} {value:.6g}"]
