"""The figures that a committee is expected to have on new units, as a value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from wisecommittee.errors import counted
from wisecommittee.searches.answered import Answered

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected figures of the committee that a search of all units chooses.

    Parameters
    ----------
    quality, interval : float, (float, float)
        Cross-fitted quality in [0, 1] and its 95 % interval.
    average_cost, cost_interval : float, (float, float)
        Of the committee on the units that chose it, and the 95 % interval for new units.
    p99_cost, p99_interval : float, (float, float) or None
        What 99 % of the units do not exceed; no interval where the units are too few to bound it.
    optimism : float
        Quality on the units that chose the committee, less the expected quality.
    n, folds, repeats : int
        Units, folds and divisions into folds.
    grouped_by : str or None
        The column whose groups are independent and stay whole in folds; None: each unit by itself.
    groups : int or None
        Their number.
    on_answered : Answered or None
        Of a committee that abstains, cross-fitted; units without an answer count as not right in `quality`.
    """

    quality: float
    interval: Interval
    average_cost: float
    cost_interval: Interval
    p99_cost: float
    p99_interval: Interval | None
    optimism: float
    n: int
    folds: int
    repeats: int
    grouped_by: str | None = None
    groups: int | None = None
    on_answered: Answered | None = None

    def basis(self, split: str) -> str:
        """What the figures rest on: '10 folds of 600 val units'."""
        text = f"{counted(self.folds, 'fold')} of {self.n:,} {split} units"
        if self.grouped_by is not None:
            text += f" in {self.groups:,} groups by {self.grouped_by}"
        return text + (f", divided {self.repeats} times" if self.repeats > 1 else "")

    def to_json(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        answered = values.pop("on_answered")
        if self.grouped_by is None:
            del values["grouped_by"], values["groups"]
        out = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return out if answered is None else out | answered.to_json()
