"""How far the rules of labels are drawn towards one rule for all labels: chosen by cross-fitting.

A label with few units cannot show which threshold suits it. So the sum that its rules maximise also counts `shrinkage`
further units, which are like the average of all units at that route; at infinity all labels have the same rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.folds import make_folds
from wisecommittee.searches.policies.rules.fitting import Fitting

SHRINKAGES = (20.0, 100.0, 500.0, np.inf)
FIRST = 100.0  # with which the prices are found at which all are compared
FOLDS = 3


def choose_shrinkage(fitting: Fitting, labels: NDArray[np.generic], prices: Sequence[float]) -> float:
    """The largest shrinkage whose rules are worth as much, within one standard error, as those of the best.

    Their worth, over these prices together, is that to units that they were not fitted to.

    labels : [N] true labels, which are spread evenly over the folds
    """
    if len(labels) < 2 * FOLDS or not prices:
        return float(np.inf)
    fold = make_folds(labels, FOLDS, 0)
    values = {shrinkage: _held_out(fitting, fold, prices, shrinkage) for shrinkage in SHRINKAGES}
    best = values[max(SHRINKAGES, key=lambda shrinkage: (values[shrinkage].sum(), shrinkage))]
    return max(shrinkage for shrinkage in SHRINKAGES if _within_noise(best - values[shrinkage]))


def _within_noise(gain: NDArray[np.float64]) -> bool:
    """Whether the sum of the gains [N] is at most its standard error."""
    return float(gain.sum()) <= float(gain.std(ddof=1)) * len(gain) ** 0.5


def _held_out(
    fitting: Fitting, fold: NDArray[np.integer], prices: Sequence[float], shrinkage: float
) -> NDArray[np.float64]:
    """float64 [N]: the value of each unit, by the rules fitted without its fold, summed over the prices."""
    out = np.zeros(fitting.said.units)
    for number in range(FOLDS):
        held_out = fold == number
        weight = (~held_out).astype(np.float64)
        for price in prices:
            found = fitting.best(price, shrinkage, weight).found
            out[held_out] += (found.quality - price * found.cost)[held_out]
    return out
