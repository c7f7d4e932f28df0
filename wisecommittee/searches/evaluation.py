"""The figures of a committee on a split, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import UnknownNameError
from wisecommittee.searches.intervals import wilson_interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a committee does on a split.

    quality : in [0, 1]; correct : sum of the task's statistic (segmentation: pixels that are right); n : units
    average_cost, worst_case_cost : in units of `cost` ('flops' = multiply-adds); exit_ratios : share of units per stage
    p99_cost : the least cost that 99 % of the units do not exceed; further : {name: (average, worst case)} of all other
    costs on every card
    graded_interval : 95 % interval of a graded quality or of mIoU; None where units are right or wrong
    measure : what quality is: accuracy (or mean grade), or mIoU
    """

    committee: Committee
    split: str
    n: int
    correct: float
    quality: float
    average_cost: float
    worst_case_cost: float
    exit_ratios: tuple[float, ...]
    p99_cost: float = 0.0
    further: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    graded_interval: tuple[float, float] | None = None
    measure: str = "accuracy"

    def cost_named(self, name: str) -> float:
        """average_cost, worst_case_cost, p99_cost, or average_NAME and worst_case_NAME of a further cost."""
        own = {"average_cost": self.average_cost, "worst_case_cost": self.worst_case_cost, "p99_cost": self.p99_cost}
        for other, (average, worst) in self.further.items():
            own |= {f"average_{other}": average, f"worst_case_{other}": worst}
        own |= {f"average_{self.committee.cost}": self.average_cost}
        own |= {f"worst_case_{self.committee.cost}": self.worst_case_cost}
        if name not in own:
            raise UnknownNameError("cost", name, own)
        return own[name]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of quality: Wilson for counts, bootstrap for grades, linearised for mIoU."""
        return self.graded_interval or wilson_interval(int(self.correct), self.n)

    def figures(self) -> dict[str, Any]:
        """The figures of the contract, without the committee."""
        out: dict[str, Any] = {
            "n": self.n,
            "correct": self.correct,
            "quality": self.quality,
            "interval": list(self.interval),
            "average_cost": self.average_cost,
            "worst_case_cost": self.worst_case_cost,
            "p99_cost": self.p99_cost,
            "further_costs": {n: {"average": a, "worst_case": w} for n, (a, w) in self.further.items()},
            "exit_ratios": list(self.exit_ratios),
        }
        if self.committee.cost == "flops":
            out["average_flops"], out["worst_case_flops"] = self.average_cost, self.worst_case_cost
        return out
