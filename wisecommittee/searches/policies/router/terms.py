"""Which terms of the features a router weighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.feature_terms import CategoryTerms, NumberTerms, Terms
from wisecommittee.store.feature_table import Features

LEAST_UNITS = 5  # of a category that has a term; units of a rarer one are estimated like units of none
MOST_VALUES = 1000  # categories of a column that have a term: the most frequent
BENT_COLUMNS = 32  # with more columns of numbers, their estimates are straight lines
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the units, at which the estimate of a column of numbers can bend


def terms_of(features: Features) -> Terms:
    """The terms of these features; columns that are the same for all units have none."""
    numbers = [name for name, values in features.items() if values.dtype.kind == "f"]
    terms: list[NumberTerms | CategoryTerms] = []
    for name, values in features.items():
        if values.dtype.kind == "f":
            if (column := _numbers(name, values.astype(np.float64), bent=len(numbers) <= BENT_COLUMNS)) is not None:
                terms.append(column)
        else:
            kinds, counts = np.unique(values, return_counts=True)
            order = np.lexsort((kinds, -counts))[:MOST_VALUES]
            if listed := [str(kinds[k]) for k in sorted(order) if LEAST_UNITS <= counts[k] < len(values)]:
                terms.append(CategoryTerms(name, tuple(listed)))
    return tuple(terms)


def _numbers(name: str, values: NDArray[np.float64], *, bent: bool) -> NumberTerms | None:
    center, scale = _short(float(np.mean(values))), _short(float(np.std(values)))
    if not np.isfinite(scale) or scale <= 1e-9 * max(1.0, abs(center)):
        return None
    z = (values - center) / scale
    knots = np.unique(np.quantile(z, QUANTILES)) if bent else np.empty(0)
    inside = knots[(knots > z.min()) & (knots < z.max())]
    return NumberTerms(name, center, scale, _short(z.min()), _short(z.max()), tuple(map(_short, inside.tolist())))


def _short(number: float) -> float:
    """The number, rounded to 7 digits."""
    return float(f"{number:.7g}")
