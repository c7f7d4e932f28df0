"""Checks of values that were read from a file: each returns the value, or raises ValueError that names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

LARGEST = 1e300  # above it, sums and axes overflow


def number(value: Any, name: str) -> float:
    """A finite number from 0."""
    if not is_number(value) or not 0 <= value < LARGEST:
        raise ValueError(f"{name} is {str(value)[:60]}; expected a number from 0")
    return float(value)


def share(value: Any, name: str) -> float:
    """A number in [0, 1]."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {str(value)[:60]}; expected a number from 0 to 1")
    return float(value)


def sound(value: Any, name: str, test: Callable[[Any], bool]) -> Any:
    """A value that passes a test."""
    if not test(value):
        raise ValueError(f"{name} is {str(value)[:60]!r}")
    return value


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62
