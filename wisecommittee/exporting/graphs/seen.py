"""What a decision in a graph may read, and its interface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policy import NO_CLASS
from wisecommittee.committees.scale import Scale


class Seen(NamedTuple):
    """What a decision may read about n units after a stage.

    prediction : int64 [n] and score : float32 [n] carried, of the combination; votes : int64 [n, members that have
    run] or None; newest_score : float32 [n] of the newest member by itself, or None
    """

    stage: int
    prediction: Tensor
    score: Tensor
    votes: Tensor | None
    newest_score: Tensor | None


class Decision:
    """The decision of a policy of one kind. votes : whether it reads the prediction of every member by itself.

    Thresholds become carried numbers here, so that tracing meets tensors only.
    """

    votes = False

    def __init__(self, policy: Any, committee: Committee) -> None:
        self.last = len(committee.stages) - 1

    def exits(self, seen: Seen) -> Tensor:
        """bool [n], asked after every stage but the last."""
        raise NotImplementedError

    def answer(self, seen: Seen) -> Tensor:
        """int64 [n]: the prediction for units that exit."""
        return seen.prediction


def carried(scale: Scale, thresholds: Sequence[float | None], log_odds: Sequence[float | None] = ()) -> list[float]:
    """The least carried number that reaches each threshold; infinity for None."""
    values = [math.inf if value is None else value for value in thresholds]
    return [float(number) for number in scale.carried(values, log_odds)]


def count_votes(votes: Tensor) -> Tensor:
    """int64 [n, members]: how many members predict the same as each member; 0 for one without an answer."""
    same = (votes[:, :, None] == votes[:, None, :]).sum(dim=2)
    return torch.where(votes == NO_CLASS, 0, same)
