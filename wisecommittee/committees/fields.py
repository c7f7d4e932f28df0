"""Checks for the fields of a JSON object that may have been written by anybody, one-line texts for wrong values, and
plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wisecommittee.errors import CostError, WiseCommitteeError


def typed(
    data: Mapping[str, Any], name: str, types: tuple[type, ...], error: Callable[[str], WiseCommitteeError]
) -> Any:
    """The field `name` of an object, None if it is missing; `error` for a value of another type."""
    value = data.get(name)
    if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
        raise error(f"{name!r} is {shown(value)}; expected {' or '.join(t.__name__ for t in types)}")
    return value


def shown(value: Any) -> str:
    """A wrong value, shortened for one line."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}.."


def checked_object(
    data: Any, what: str, version: int, known: set[str], required: set[str], error: Callable[[str], WiseCommitteeError]
) -> dict[str, Any]:
    """A JSON object of the right version with no missing and no unknown field."""
    if not isinstance(data, dict):
        raise error(f"{what}: expected a JSON object, found {type(data).__name__}")
    if "version" not in data or data["version"] != version or isinstance(data["version"], bool):
        raise error(f"{what}: version {shown(data.get('version'))}; this release reads version {version}")
    unknown = sorted(set(data) - known - {"version"})
    if unknown:
        raise error(f"{what}: unknown field {listed(unknown)}; known: {', '.join(sorted(known))}")
    missing = sorted(required - set(data))
    if missing:
        raise error(f"{what}: field {', '.join(map(repr, missing))} is missing")
    return data


def listed(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(shown(name) for name in names[:8])


def is_whole(value: Any, least: int = 0) -> bool:
    """Whether a JSON value is a whole number of at least `least` that int64 holds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 63


def is_float32(value: Any) -> bool:
    """Whether a JSON value is a number that float32 holds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= 3.4028234663852886e38


def check_cost(value: object, what: str, *, free: bool = False) -> None:
    """CostError unless a cost is a finite number above 0; `free` allows 0."""
    expected = "a finite number from 0" if free else "a finite number above 0"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CostError(f"{what} is {shown(value)}; expected {expected}")
    if value < 0 or (value == 0 and not free) or not value < 1e300:
        raise CostError(f"{what} is {shown(value)}; expected {expected}")


def plain(value: Any) -> Any:
    """Mappings and tuples as JSON values."""
    if value is None or isinstance(value, (str, int, float)):  # most of them: a frontier has tens of thousands
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value
