"""Units exit once enough members agree; the answer is that of most members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import is_float32, shown
from wisecommittee.committees.policies.thresholds import check_log_odds
from wisecommittee.committees.policy import ALWAYS, NO_CLASS, NO_TEXT, Policy, State, reaches
from wisecommittee.committees.reasons import Reason, compared
from wisecommittee.errors import CommitteeError

Number = float | None


@dataclass(frozen=True, slots=True)
class Agreement(Policy):
    """Exit by a threshold on the newest confidence that depends on how many members agree; answer with the majority.

    A member's vote is its prediction, and the votes of the most frequent prediction count. A member without an answer
    does not vote. Among equally frequent predictions the newest is the answer, after the last stage that of the member
    that stands first in `best`.

    Parameters
    ----------
    thresholds : tuple of tuples of (float or None)
        For every stage but the last, and for 1, 2, .. votes, up to the number of members that have run: exit iff the
        newest member's own confidence is at least this. None: never exit; the least float32 (-3.4028235e38): always.
        Units without any vote exit as those with one, but not where that is always.
    best : tuple of str
        All members, from the best by itself down.
    log_odds : tuple of tuples of (float or None)
        Numbers that decide instead of thresholds, as of Thresholds; empty if there are none.
    """

    thresholds: tuple[tuple[Number, ...], ...]
    best: tuple[str, ...]
    log_odds: tuple[tuple[Number, ...], ...] = ()
    kind: ClassVar[str] = "agreement"
    words: ClassVar[str] = "members vote, and units exit once enough of them agree"
    needs_every_member: ClassVar[bool] = False
    combines: ClassVar[bool] = False
    answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("thresholds", "log_odds"):
            lines = getattr(self, name)
            if not isinstance(lines, tuple) or not all(isinstance(line, tuple) for line in lines):
                raise CommitteeError(f"{name!r} is {shown(lines)}; expected a list of lists")
            if wrong := [x for line in lines for x in line if not (x is None or is_float32(x))]:
                raise CommitteeError(f"{name!r} holds {shown(wrong[0])}; expected a float32 number, or null")
        if not isinstance(self.best, tuple) or not all(isinstance(name, str) for name in self.best):
            raise CommitteeError(f'"best" is {shown(self.best)}; expected a list of models')
        if self.log_odds and [*map(len, self.log_odds)] != [*map(len, self.thresholds)]:
            raise CommitteeError('"log_odds" must have a number or null for each threshold')

    @property
    def needs(self) -> frozenset[str]:
        compares = any(value not in (None, ALWAYS) for line in self.thresholds for value in line)
        return frozenset({"members", "member_scores"} if compares else {"members"})

    def next(self, state: State) -> NDArray[np.int64]:
        votes = count_votes([*state.members.values()]).max(axis=0)
        values = [math.inf if value is None else value for value in self.thresholds[state.stage]]
        carried = state.scale.carried(values, self.log_odds[state.stage] if self.log_odds else ())
        newest = [*state.members][-1]
        score = state.member_scores.get(newest, np.zeros(len(state), np.float32))
        threshold = carried[np.maximum(votes, 1) - 1]
        return state.exit_where(reaches(score, threshold) & ((votes > 0) | (threshold != np.float32(ALWAYS))))

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        votes = int(count_votes([*state.members.values()]).max())
        column, newest = max(votes, 1) - 1, [*state.members][-1]
        said = Reason(f"{votes} of {len(state.members)} members agree")
        if newest not in state.member_scores:  # no threshold compares a confidence
            return [said]
        value = self.thresholds[state.stage][column]
        odds = self.log_odds[state.stage][column] if self.log_odds else None
        compares = compared(confidence, state.scale, state.member_scores[newest][0], value, odds)
        return [said, compares._replace(text=f"{newest}: {compares.text}")]

    def answer_reasons(self, state: State, confidence: str) -> list[Reason]:
        votes = count_votes([*state.members.values()])[:, 0]
        chosen = int(self.quoted(state)[0])
        return [Reason(f"{votes[chosen]} of {len(votes)} members say what {[*state.members][chosen]} says")]

    def quoted(self, state: State) -> NDArray[np.int64]:
        votes = count_votes([*state.members.values()])
        members = list(state.members)
        last = state.stage == state.stages - 1
        preferred = [members.index(name) for name in self.best] if last else list(reversed(range(len(members))))
        return np.array(preferred)[votes[preferred].argmax(axis=0)]

    def answer(self, state: State) -> NDArray[np.generic]:
        return np.stack(list(state.members.values()))[self.quoted(state), np.arange(len(state))]

    def check(self, stages: int, confidence: str) -> None:
        if len(self.thresholds) != stages - 1:
            raise CommitteeError(
                f"policy 'agreement': \"thresholds\" has {len(self.thresholds)} lists for {stages} stages; expected "
                f"one for every stage but the last"
            )
        for line, odds in zip(self.thresholds, self.log_odds, strict=False):
            for value, number in zip(line, odds, strict=True):
                if number is not None:
                    check_log_odds(math.inf if value is None else value, number, confidence)

    def check_members(self, stages: Sequence[Sequence[str]]) -> None:
        if sorted(self.best) != sorted(model for stage in stages for model in stage):
            raise CommitteeError("policy 'agreement': \"best\" must name every member once")
        ran = 0
        for stage, line in zip(stages, self.thresholds, strict=False):
            ran += len(stage)
            if len(line) != ran:
                raise CommitteeError(
                    f"policy 'agreement': {len(line)} thresholds after {ran} members; expected one for each number of "
                    f"votes, 1 to {ran}"
                )

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return [self._condition(line, confidence) for line in self.thresholds]

    def _condition(self, line: Sequence[Number], confidence: str) -> str:
        """'2 of 3 agree, or 1 of 3 and confidence >= 0.9'"""
        members = least = len(line)
        while least and line[least - 1] == ALWAYS:
            least -= 1
        out = [f"{least + 1} of {members} agree"] if least < members else []
        for votes in range(least, 0, -1):
            value, start = line[votes - 1], f"{votes} of {members} and " if members > 1 else ""
            if value is not None:
                out.append(
                    f"exactly {votes} of {members}" if value == ALWAYS else f"{start}{confidence} >= {value:.6g}"
                )
        return ", or ".join(out) or "never"


def count_votes(said: Sequence[NDArray[np.generic]]) -> NDArray[np.int64]:
    """int64 [members, n]: how many members predict the same as each member; 0 for one without an answer.

    said : integer class or text [n] of each member
    """
    nothing = NO_TEXT if said[0].dtype.kind == "U" else NO_CLASS
    return np.array([np.sum([mine == other for other in said], axis=0) * (mine != nothing) for mine in said], np.int64)
