"""What the kernels that fit rules read, and the arrays that they work in."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

NEVER = -1


class Routes(NamedTuple):
    """The routes of a tree: route 0 is the first stage, each other route continues an earlier one by a stage.

    row : int32 [R], the row of `Known` after each route
    further : int32 [R, F], the routes that continue each route; -1 fills the rest of a line
    cost : float64 [R, N] or [R, 1], of the stages of each route together
    """

    row: NDArray[np.int32]
    further: NDArray[np.int32]
    cost: NDArray[np.float64]


class Known(NamedTuple):
    """What is known of N units after a route; routes that end alike share one of T rows.

    rank : int32 [T, N], the place of a unit's confidence among the distinct ones, ascending from 0; NEVER for a unit
    that goes on at every level
    group : int32 [T, N], the group of each unit, from 0 to G - 1
    order : int32 [T, N], the units by rising rank
    quality : float64 [T, N], of the answer if the unit exits
    """

    rank: NDArray[np.int32]
    group: NDArray[np.int32]
    order: NDArray[np.int32]
    quality: NDArray[np.float64]


class Scratch(NamedTuple):
    """Arrays for `fit_rules` to work in, which later calls use again.

    stop, value : float64 [R, N], of each unit that has run a route: its value if it exits, and under the rules so far
    mass : float64 [R, N], the weight of the units that reach a route, else 0
    gain : float64 [F, N]; active : int32 [N]
    """

    stop: NDArray[np.float64]
    value: NDArray[np.float64]
    mass: NDArray[np.float64]
    gain: NDArray[np.float64]
    active: NDArray[np.int32]

    @classmethod
    def of(cls, routes: int, further: int, units: int) -> Self:
        """For trees of at most so many routes, at most `further` of which continue one."""
        stop, value, mass = (np.empty((routes, units)) for _ in range(3))
        return cls(stop, value, mass, np.empty((further, units)), np.empty(units, np.int32))
