"""The budgets of a percentile of a cost that varies per unit: the amounts that a search tells apart.

Like the levels of a threshold they are order statistics: of what the sets of members of a search cost the units. A
committee is offered at the least budget that it keeps, so of two committees within one budget only the better one is
found. Where there are at most MOST amounts, all of them are budgets, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 100


def quantile_of(costs: NDArray[np.int64], above: int) -> int:
    """The least of these costs int64 [N] that at most `above` units exceed."""
    place = len(costs) - 1 - min(above, len(costs) - 1)
    return int(np.partition(costs, place)[place])


def budgets(
    per_unit: NDArray[np.int64], above: int, sequences: Sequence[NDArray[np.int64]], *, thresholded: bool
) -> NDArray[np.int64]:
    """int64 [n] ascending: the budgets, or without thresholds the percentile of every set of members.

    per_unit : int64 [M, N]; above : how many units may cost more; sequences : int64 [., size] for each size
    """
    sets = {tuple(sorted(row)) for of_size in sequences for row in of_size.tolist()}
    costs = [per_unit[list(members)].sum(axis=0) for members in sorted(sets)]
    highest = [quantile_of(each, above) for each in costs]
    if not thresholded:
        return np.unique(highest)
    least, most = min(highest), max(highest)
    amounts = [_spread(np.unique(each[(each >= least) & (each <= most)])) for each in costs]
    return _spread(np.unique(np.concatenate([*amounts, [most]])))


def _spread(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most MOST of these values, evenly spread over their ranks, the last one among them."""
    if len(ordered) <= MOST:
        return ordered
    return ordered[np.arange(1, MOST + 1) * len(ordered) // MOST - 1]
