"""Terms of features: the numbers, made of what is known of a unit before any model runs, that a linear model weighs.

A column of numbers has the term z = (x - center) / scale, clipped to [low, high], and a term max(0, z - knot) for each
knot, so that a weighted sum is a piecewise linear function of x. A column of categories has a term for each listed
value, 1 for units of that value and else 0; a value that is not listed has only zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import listed, shown
from wisecommittee.errors import CommitteeError, UsageError, option

Features: TypeAlias = Mapping[str, NDArray[np.generic]]  # {column: float64 or text [n]}


@dataclass(frozen=True, slots=True)
class NumberTerms:
    """The terms of a column of numbers; see the module."""

    name: str
    center: float
    scale: float
    low: float
    high: float
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for number in (self.center, self.scale, self.low, self.high, *self.knots):
            check_number(number, f"feature {self.name!r}")
        if self.scale <= 0 or self.low > self.high:
            raise CommitteeError(f"feature {self.name!r}: expected a scale above 0, and low <= high")

    @property
    def width(self) -> int:
        return 1 + len(self.knots)

    def terms(self, values: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
        """Yields float64 [n] for each term."""
        if values.dtype.kind != "f":
            raise CommitteeError(
                f"feature {self.name!r} holds text; expected the numbers that the policy was fitted to"
            )
        z = np.clip((values.astype(np.float64) - self.center) / self.scale, self.low, self.high)
        yield z
        for knot in self.knots:
            yield np.maximum(0.0, z - knot)


@dataclass(frozen=True, slots=True)
class CategoryTerms:
    """The terms of a column of categories; see the module."""

    name: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) for value in self.values) or len(set(self.values)) != len(self.values):
            raise CommitteeError(f"feature {self.name!r}: values {shown(self.values)}; expected different texts")

    @property
    def width(self) -> int:
        return len(self.values)

    def terms(self, values: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
        """Yields float64 [n] for each term."""
        if values.dtype.kind != "U":
            raise CommitteeError(f"feature {self.name!r} holds numbers; expected the categories, as text")
        for value in self.values:
            yield (values == value).astype(np.float64)


Terms: TypeAlias = tuple[NumberTerms | CategoryTerms, ...]


def term_matrix(columns: Terms, features: Features, units: int) -> NDArray[np.float64]:
    """float64 [n, d]: the terms of all columns."""
    matrix = np.empty((units, sum(column.width for column in columns)))
    for d, term in enumerate(_every(columns, features)):
        matrix[:, d] = term
    return matrix


def weighted_terms(
    columns: Terms, features: Features, weights: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """float64 [P, n]: start [P] plus the terms weighed by weights [P, d], summed in the order of the terms, so that a
    unit's sums do not depend on the units beside it."""
    units = len(next(iter(features.values()))) if features else 0
    sums = np.repeat(start[:, None], units, axis=1)
    for d, term in enumerate(_every(columns, features)):
        sums += weights[:, d, None] * term
    return sums


def _every(columns: Terms, features: Features) -> Iterator[NDArray[np.float64]]:
    for column in columns:
        if column.name not in features:
            raise CommitteeError(
                f"the policy reads feature {column.name!r}; the units have "
                f"{listed(sorted(features)) if features else 'no features'}; import them with `wisecommittee import "
                f"--features FILE`, or give them with {option('features', placeholder='FILE')}"
            )
        yield from column.terms(features[column.name])


def terms_to_json(columns: Terms) -> list[dict[str, Any]]:
    return [
        {"name": column.name, "values": list(column.values)}
        if isinstance(column, CategoryTerms)
        else {
            "name": column.name,
            **{name: getattr(column, name) for name in ("center", "scale", "low", "high")},
            "knots": list(column.knots),
        }
        for column in columns
    ]


def terms_from_json(data: Any) -> Terms:
    """The terms that `terms_to_json` wrote, with lists as tuples; CommitteeError for anything else."""
    columns: list[NumberTerms | CategoryTerms] = []
    for each in objects(data, "columns"):
        kind: type[NumberTerms] | type[CategoryTerms] = CategoryTerms if "values" in each else NumberTerms
        fields = {"name", "values"} if kind is CategoryTerms else {"name", "center", "scale", "low", "high", "knots"}
        if set(each) != fields or not isinstance(each["name"], str):
            raise CommitteeError(f"columns: {shown(each)}; expected the text name, and {listed(sorted(fields))}")
        if not isinstance(each.get("values", each.get("knots")), tuple):
            raise CommitteeError(f"columns: {shown(each)}; expected a list of values or knots")
        columns.append(kind(**each))
    if len({column.name for column in columns}) != len(columns):
        raise CommitteeError("columns: two columns of one name; expected different names")
    return tuple(columns)


def objects(data: Any, name: str) -> Sequence[Mapping[str, Any]]:
    """A list of objects; CommitteeError for anything else."""
    if not isinstance(data, tuple) or not all(isinstance(each, Mapping) for each in data):
        raise CommitteeError(f"{name}: {shown(data)}; expected a list of objects")
    return data


def check_number(value: Any, what: str) -> None:
    """CommitteeError unless the value is a finite number of moderate size."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300 or math.isnan(value):
        raise CommitteeError(f"{what}: {shown(value)}; expected a finite number")


def as_feature(name: str, values: Any) -> NDArray[np.generic]:
    """A column of a program as float64 numbers or text; UsageError for other values."""
    array = np.asarray(values)
    if array.dtype.kind in "iufb" and np.isfinite(array).all():
        return array.astype(np.float64)
    if array.dtype.kind in "UO" and all(isinstance(value, str) and value for value in array.ravel().tolist()):
        return array.astype(np.str_)
    raise UsageError(f"feature {name!r}: expected finite numbers, or text that is not empty, for each unit")
