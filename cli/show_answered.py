"""How the figures of a committee that abstains look on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import percent, table

if TYPE_CHECKING:
    from wisecommittee.searches.answered import Answered, Interval
    from wisecommittee.searches.evaluation import Evaluation
    from wisecommittee.searches.expected import Expected


def show_answered(evaluations: Sequence[Evaluation], expected: Expected | None = None) -> None:
    """The share of units with an answer on each split, and how many of these answers are right; nothing for a committee
    that always answers. expected : on new units."""
    rows = [[e.split, *_cells(e.on_answered)] for e in evaluations if e.on_answered is not None]
    if not rows:
        return
    if expected is not None and expected.on_answered is not None:
        rows.insert(1, ["expected", *_cells(expected.on_answered)])
    columns = [("split", "left"), ("answered % [95 %]", "right"), ("of these right %", "right")]
    measure = evaluations[0].measure
    table("", columns, rows, f"Units without an answer count as not right in the {measure} above.")


def _cells(figures: Answered) -> list[str]:
    return [_with(figures.share, figures.interval), _with(figures.quality, figures.quality_interval)]


def _with(value: float | None, interval: Interval | None) -> str:
    return "-" if value is None or interval is None else f"{percent(value)} [{', '.join(map(percent, interval))}]"
