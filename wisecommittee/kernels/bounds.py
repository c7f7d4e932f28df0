"""Limits on the units that run each stage, as kernels test them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.jit import njit_inner


class Bounds(NamedTuple):
    """Limits of m cascades of K stages; m = 0 where nothing is limited.

    caps : int64 [m, K] the most units that may run each stage; below 0 where a limit is broken already
    charges : int64 [m, Q, K] what a unit that runs a stage adds to each of Q further costs
    ceilings : int64 [Q] the most that each of these may total
    """

    caps: NDArray[np.int64]
    charges: NDArray[np.int64]
    ceilings: NDArray[np.int64]


@njit_inner
def room(bounds, m, ran1, ran2, ran3):
    """The most units that may run the last of the four stages of cascade m when these numbers run the first three; -1
    if the first three stages break a limit by themselves."""
    caps, charges, ceilings = bounds.caps[m], bounds.charges[m], bounds.ceilings
    if ran1 > caps[0] or ran2 > caps[1] or ran3 > caps[2]:
        return np.int64(-1)
    most = caps[3]
    for q in range(ceilings.size):
        left = ceilings[q] - charges[q, 0] * ran1 - charges[q, 1] * ran2 - charges[q, 2] * ran3
        if left < 0:
            return np.int64(-1)
        if charges[q, 3] > 0:
            most = min(most, left // charges[q, 3])
    return most


@njit_inner
def most_room(bounds, ran1, ran2, ran3):
    """The most `room` of any of the cascades."""
    most = np.int64(-1)
    for m in range(bounds.caps.shape[0]):
        most = max(most, room(bounds, m, ran1, ran2, ran3))
    return most


@njit_inner
def fitting(line, most):
    """How many entries of an ascending line do not exceed `most`."""
    low, high = 0, line.size
    while low < high:
        middle = (low + high) // 2
        if np.int64(line[middle]) <= most:
            low = middle + 1
        else:
            high = middle
    return low
