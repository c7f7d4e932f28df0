"""Thresholds for new confidences, at which given shares of the units that reach each stage exit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import reaches
from wisecommittee.committees.scale import Scale
from wisecommittee.searches.reporter import Pair, reported_threshold


def moved_thresholds(
    score: NDArray[np.float32], exits: NDArray[np.int64], pairs: Sequence[Pair], scale: Scale
) -> tuple[list[Pair], tuple[int, ...]]:
    """The new thresholds, and the stages whose threshold stays.

    score : float32 [K, N] of the stream; exits : [K] number of units of the reference that exit at each stage; pairs :
    the thresholds of before.
    """
    moved, kept = list(pairs), []
    waiting = np.ones(score.shape[1], dtype=bool)
    for stage in range(len(pairs)):
        leaving, reaching = int(exits[stage]), int(exits[stage:].sum())
        if leaving and waiting.any():
            level = _level(score[stage], waiting, leaving, reaching, scale)
            moved[stage] = reported_threshold(np.sort(score[stage]), level, scale)
        else:
            kept.append(stage)
        value, log_odds = moved[stage]
        waiting &= ~reaches(score[stage], scale.carried([value], [log_odds])[0])
    return moved, tuple(kept)


def _level(
    score: NDArray[np.float32], waiting: NDArray[np.bool_], leaving: int, reaching: int, scale: Scale
) -> np.float32:
    """The confidence that, as a threshold, lets the share of the waiting units exit that is nearest to leaving /
    reaching; of two, the higher. Confidences that rounding cannot tell apart stay together."""
    levels = np.unique(scale.lowest(np.sort(score)))
    ordered = np.sort(score[waiting])
    exits = len(ordered) - np.searchsorted(ordered, levels)
    distance = np.abs(exits * reaching - leaving * len(ordered))
    return np.float32(levels[np.flatnonzero(distance == distance.min())[-1]])
