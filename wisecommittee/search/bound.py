"""What an unfinished search can still be missing at most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels import grid
from wisecommittee.search.exhaustive import GridSearch

MOST_WORK = 4e9  # combinations times units beyond which no gap is worked out


def gap(sweep: GridSearch, found: NDArray[np.int64], unfinished: Sequence[tuple[int, ...]]) -> float | None:
    """Quality by which any of the unfinished combinations can exceed what was found at the same average cost, at most.

    found : int64 [N + 1] least total cost with at least so many correct. A unit is right at best at the first stage
    whose prefix is right, and costs at least what that stage costs; all others cost at least the first stage. So the
    cheapest way to a correct of a combination costs at least N times its first stage plus the a least extras. Limits
    only forbid committees, so the bound holds under them. None where it is not worked out: graded quality, costs that
    vary per unit, or too many combinations left.
    """
    units = sweep.units
    if len(found) != units + 1 or sweep.cost.per_unit is not None or len(unfinished) * units > MOST_WORK:
        return None
    if not unfinished:
        return 0.0
    least = np.full(units + 1, grid.UNREACHED, np.int64)
    for sequence in unfinished:
        cumulative = sweep.cost.cumulative(np.array([sequence]))[0]
        waiting = np.ones(units, dtype=bool)
        total, reached = units * int(cumulative[0]), 0
        for k, cost in enumerate(cumulative):
            right = sweep.correct_of(sequence[: k + 1]).astype(bool)
            more = int((right & waiting).sum())
            waiting &= ~right
            extra = int(cost - cumulative[0])
            steps = total + extra * np.arange(1, more + 1)
            np.minimum(least[reached + 1 : reached + more + 1], steps, out=least[reached + 1 : reached + more + 1])
            total, reached = total + extra * more, reached + more
    possible = np.flatnonzero(least < grid.UNREACHED)
    if not len(possible):
        return 0.0
    here = np.maximum(np.searchsorted(found, least[possible], side="right") - 1, 0)
    return max(0, int((possible - here).max())) / units
