"""The expected figures of a frontier as columns of its table, written and read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.expected import Expected, Interval
from wisecommittee.searches.file_checks import is_number, is_text, number, share, sound

FIRST = "expected_quality"
TOLERANCE = 1e-6


def has_expected(columns: Collection[str]) -> bool:
    """Whether a table with these columns has expected figures."""
    return FIRST in columns


def expected_columns(expected: Expected) -> dict[str, float | str | None]:
    """{column: value} of the figures of one committee; the number of units stands in the table already."""
    p99_low, p99_high = expected.p99_interval or (None, None)
    return {
        FIRST: expected.quality,
        "expected_low": expected.interval[0],
        "expected_high": expected.interval[1],
        "expected_average_cost": expected.average_cost,
        "expected_average_cost_low": expected.cost_interval[0],
        "expected_average_cost_high": expected.cost_interval[1],
        "expected_p99_cost": expected.p99_cost,
        "expected_p99_cost_low": p99_low,
        "expected_p99_cost_high": p99_high,
        "optimism": expected.optimism,
        "folds": float(expected.folds),
        "repeats": float(expected.repeats),
        **(
            {}
            if expected.grouped_by is None
            else {"grouped_by": expected.grouped_by, "groups": float(expected.groups or 0)}
        ),
    }


def read_expected(row: Mapping[str, Any], evaluation: Evaluation) -> Expected:
    """The figures that stand in a row of a table beside the committee's own; ValueError if they cannot be."""
    quality = share(row[FIRST], FIRST)
    optimism = sound(row["optimism"], "optimism", is_number)
    if abs(evaluation.quality - quality - optimism) > TOLERANCE:
        raise ValueError(
            f"optimism is {optimism:g}; expected {evaluation.quality - quality:g}, the quality less the expected one"
        )
    bounded = row["expected_p99_cost_low"] is not None or row["expected_p99_cost_high"] is not None
    return Expected(
        quality,
        _ordered(share(row["expected_low"], "expected_low"), share(row["expected_high"], "expected_high")),
        number(row["expected_average_cost"], "expected_average_cost"),
        _costs(row, "expected_average_cost"),
        number(row["expected_p99_cost"], "expected_p99_cost"),
        _costs(row, "expected_p99_cost") if bounded else None,
        float(optimism),
        evaluation.n,
        _whole(row, "folds", 2),
        _whole(row, "repeats", 1),
        sound(row["grouped_by"], "grouped_by", is_text) if row.get("grouped_by") is not None else None,
        _whole(row, "groups", 2) if row.get("grouped_by") is not None else None,
    )


def _costs(row: Mapping[str, Any], name: str) -> Interval:
    low, high = f"{name}_low", f"{name}_high"
    return _ordered(number(row[low], low), number(row[high], high))


def _ordered(low: float, high: float) -> Interval:
    if low > high:
        raise ValueError(f"an interval from {low:g} to {high:g}")
    return low, high


def _whole(row: Mapping[str, Any], name: str, least: int) -> int:
    """A whole number, which a column that is empty for single models holds as a float."""
    value = number(row[name], name)
    if not value.is_integer() or value < least:
        raise ValueError(f"{name} is {value:g}; expected a whole number from {least}")
    return int(value)
