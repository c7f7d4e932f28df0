"""Thresholds, and the stage that follows, by the label that is predicted so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import is_float32, is_whole, shown
from wisecommittee.committees.policies.thresholds import check_log_odds
from wisecommittee.committees.policy import ALWAYS, EXIT, Policy, Route, State, reaches
from wisecommittee.committees.reasons import Reason, compared
from wisecommittee.committees.scale import LEAST
from wisecommittee.errors import CommitteeError

Number = float | None


@dataclass(frozen=True, slots=True)
class Labels(Policy):
    """Exit by a threshold of the label that is predicted so far, else run the stage that this label names.

    After each route of `after` there is a rule for each label of `labels`, and a last one for every other label, so all
    tuples of rules are one longer than `labels`. After any other route units exit. For cascades by predicted label see
    Chen, Zaharia and Zou 2020 (FrugalML), Sec. 3.

    Parameters
    ----------
    labels : tuple of int or str
        Ascending classes, or answers.
    after : tuple of tuples of int
        The stages that have run where units may go on, in the order in which they ran, from stage 0.
    thresholds : tuple of tuples of (float or None)
        For each route and label: exit iff the confidence is at least this. None: never exit; the least float32
        (-3.4028235e38): always, but a unit whose confidence is the least float32 itself, which has no answer.
    following : tuple of tuples of int
        For each route and label: the stage that units run if they do not exit.
    log_odds : tuple of tuples of (float or None)
        For each route and label: a number that decides instead of the threshold, as of Thresholds; empty if there is
        none.
    """

    labels: tuple[int | str, ...]
    after: tuple[Route, ...]
    thresholds: tuple[tuple[Number, ...], ...]
    following: tuple[tuple[int, ...], ...]
    log_odds: tuple[tuple[Number, ...], ...] = ()
    kind: ClassVar[str] = "labels"
    words: ClassVar[str] = "the predicted label decides at which confidence units exit, and which member runs next"
    needs: ClassVar[frozenset[str]] = frozenset({"prediction"})

    def __post_init__(self) -> None:
        _check_labels(self.labels)
        for name in ("after", "thresholds", "following", "log_odds"):
            lines = getattr(self, name)
            if not isinstance(lines, tuple) or not all(isinstance(line, tuple) for line in lines):
                raise CommitteeError(f"{name!r} is {shown(lines)}; expected a list of lists")
            if name != "after" and any(len(line) != len(self.labels) + 1 for line in lines):
                raise CommitteeError(f"{name!r}: expected a rule for each label, and one for all others, in each list")
            if len(lines) != len(self.after) and not (name == "log_odds" and not lines):
                raise CommitteeError(f'{name!r} has {len(lines)} lists; expected one for each route of "after"')
        if not all(is_whole(stage) for line in self.after + self.following for stage in line):
            raise CommitteeError('"after" and "following" must hold numbers of stages, from 0')
        for number in (number for line in self.thresholds + self.log_odds for number in line):
            if number is not None and not is_float32(number):
                raise CommitteeError(f"threshold or log-odds {shown(number)}; expected a float32 number, or null")
        _check_routes(self.after, self.following)

    def next(self, state: State) -> NDArray[np.int64]:
        assert state.prediction is not None
        line = self.after.index(state.route)
        values = [math.inf if value is None else value for value in self.thresholds[line]]
        carried = state.scale.carried(values, self.log_odds[line] if self.log_odds else ())
        column = self._columns(state.prediction)
        exits = reaches(state.scores[-1], carried[column]) & (state.scores[-1] != np.float32(LEAST))
        return np.where(exits, EXIT, np.array(self.following[line])[column])

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        assert state.prediction is not None
        line, column = self.after.index(state.route), int(self._columns(state.prediction)[0])
        odds = self.log_odds[line][column] if self.log_odds else None
        compares = compared(confidence, state.scale, state.scores[-1, 0], self.thresholds[line][column], odds)
        label = state.prediction[0] if column < len(self.labels) else "any other label"
        return [compares._replace(text=f"{compares.text}, the threshold of {label}")]

    def _columns(self, prediction: NDArray[np.generic]) -> NDArray[np.int64]:
        """int64 [n]: the place of each predicted label in `labels`, and the last place for all others."""
        if not self.labels:
            return np.zeros(len(prediction), np.int64)
        known = np.array(self.labels)
        if (known.dtype.kind == "U") != (prediction.dtype.kind in "UO"):
            raise CommitteeError(
                f"policy 'labels' has rules for labels such as {self.labels[0]!r}, and members predict such as "
                f"{prediction[:1].tolist()}; expected both as text or both as numbers"
            )
        at = np.searchsorted(known, prediction).clip(max=len(known) - 1)
        return np.where(known[at] == prediction, at, len(known))

    def routes(self, stages: int) -> Sequence[Route]:
        rules = zip(self.after, self.thresholds, self.following, strict=True)
        further = {
            (*route, stage)
            for route, values, line in rules
            for value, stage in zip(values, line, strict=True)
            if value != ALWAYS
        }
        return sorted({(0,), *self.after, *further})

    def check(self, stages: int, confidence: str) -> None:
        for stage in {stage for line in self.after + self.following for stage in line}:
            if stage >= stages:
                raise CommitteeError(f"policy 'labels' runs stage {stage}; the last of {stages} is {stages - 1}")
        for line, odds in zip(self.thresholds, self.log_odds, strict=False):
            for value, number in zip(line, odds, strict=True):
                if number is not None:
                    check_log_odds(math.inf if value is None else value, number, confidence)

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return [self._condition(stage, confidence) for stage in range(stages - 1)]

    def _condition(self, stage: int, confidence: str) -> str:
        """The condition to exit at a stage, over all routes that end with it."""
        lines = [line for route, line in zip(self.after, self.thresholds, strict=True) if route[-1] == stage]
        values = {-math.inf if value == ALWAYS else value for line in lines for value in line}
        if not values or values == {-math.inf}:
            return "always"
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if not finite:
            return "never" if values == {None} else "the predicted label says so"
        low, high = f"{min(finite):.6g}", f"{max(finite):.6g}"
        text = f"{confidence} >= {low}" if low == high else f"{confidence} >= {low} to {high}"
        others = [word for word, value in (("always", -math.inf), ("never", None)) if value in values]
        if len(values) > 1:
            text += f" by predicted label{', for some ' + ' or '.join(others) if others else ''}"
        return text


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, tuple) or not all(isinstance(x, str) or is_whole(x) for x in labels):
        raise CommitteeError(f'"labels" is {shown(labels)}; expected a list of classes or of texts')
    if len({type(label) for label in labels}) > 1:
        raise CommitteeError('"labels" mixes numbers and texts')
    if any(not a < b for a, b in pairwise(labels)):
        raise CommitteeError('"labels" must ascend')


def _check_routes(after: Sequence[Route], following: Sequence[Sequence[int]]) -> None:
    """CommitteeError unless every route begins with stage 0 and continues another by a stage that follows it."""
    if len(set(after)) != len(after):
        raise CommitteeError('"after" names a route twice')
    ways = dict(zip(after, map(set, following), strict=True))
    for route, stages in ways.items():
        if not route or (len(route) == 1 and route != (0,)):
            raise CommitteeError(f'"after" has the route {list(route)}; the first stage is 0')
        if len(route) > 1 and route[-1] not in ways.get(route[:-1], ()):
            raise CommitteeError(f'"after" has the route {list(route)}, which no rule leads to')
        if stages & set(route):
            raise CommitteeError(f"after the stages {list(route)}, none of them can run again")
