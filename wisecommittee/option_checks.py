"""Checks of the values of options. Each takes the option's name and the value given, returns the value to keep, and
raises UsageError for another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.options import Check


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{option(name, value)}; expected a text")
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{option(name, value)}; expected a list of texts")
    return tuple(value)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{option(name, value)}; expected True or False")
    return value


def one_of(*known: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in known:
            raise UnknownNameError(name, str(value), known)
        return str(value)

    return check


def whole(least: int, most: int | None = None) -> Check:
    """A whole number within these bounds."""

    def check(name: str, value: Any) -> int:
        integral = isinstance(value, Integral) and not isinstance(value, bool)
        if not integral or value < least or (most is not None and value > most):
            bounds = f"from {least}" if most is None else f"from {least} to {most}"
            raise UsageError(f"{option(name, value)}; expected a whole number {bounds}")
        return int(value)

    return check


def amount(name: str, value: Any) -> float:
    """A finite number from 0."""
    if not _is_number(value) or not 0 <= value < math.inf:
        raise UsageError(f"{option(name, value)}; expected a finite number from 0")
    return value


def share(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    number = amount(name, value)
    if number > 1:
        likely = number / 100 if number <= 100 else 0.9
        raise UsageError(f"{option(name, f'{number:g}')}; expected a share from 0 to 1, such as {likely:g}")
    return number


def amounts(name: str, value: Any) -> Mapping[str, float] | None:
    """{name: amount}; none is no limit."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{option(name, value)}; expected limits by name, such as {{'latency_ms': 3.5}}")
    for cost, limit in value.items():
        text(name, cost)
        if not _is_number(limit) or not 0 <= limit < math.inf:
            raise UsageError(f"limit on the average {cost} {limit!r}; expected a finite number from 0")
    return dict(value)


def percentile(name: str, value: Any) -> tuple[float, float]:
    """(percent, limit on the cost)."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise UsageError(f"{option(name, value)}; expected a percentile and a limit, such as (99, 4e9)")
    percent, limit = value
    if not _is_number(percent) or not 0 < percent <= 100:
        raise UsageError(f"percentile {percent!r}; expected a number above 0 and up to 100, such as 99")
    if not _is_number(limit) or not 0 <= limit < math.inf:
        raise UsageError(f"percentile cost limit {limit!r}; expected a finite number from 0")
    return percent, limit


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
