"""The figures of a committee on a split, as a value.

May be added: a statistic of the cost, as a field of `Cost`, a line in `Cost.of` and its texts in `FIGURES`: JSON,
frames, files, the terminal, tables and pages loop over these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import UnknownNameError
from wisecommittee.searches.answered import Answered
from wisecommittee.searches.distribution import Distribution
from wisecommittee.searches.percentile import percentiles
from wisecommittee.searches.statements.statement import Guarantee
from wisecommittee.statistics.binomial import wilson_interval


class Cost(NamedTuple):
    """The cost of a committee over the units of a split, in units of that cost ('flops' = multiply-adds).

    average : mean over units of the cumulative cost at their exit; p99 : the least cost that 99 % of the units do not
    exceed; worst : cost of a unit that runs every member, the dearest unit if the cost varies per unit.
    """

    average: float
    p99: float
    worst: float

    @classmethod
    def of(cls, charges: CostModel, costs: NDArray[np.int64], units: NDArray[np.int64], worst: int) -> list[Cost]:
        """The cost of each of n committees from what their units cost.

        Parameters
        ----------
        charges : CostModel
            Its unit turns integer costs into true ones.
        costs : int64 [m]
            Integer costs of a unit, in any order.
        units : int64 [n, m]
            How many units of each committee cost so much.
        worst : int
            Integer cost of a unit that runs every member.
        """
        split, p99 = int(units[0].sum()), percentiles(costs, units, 99)
        return [
            cls(average=charges.true(total, split), p99=charges.true(least), worst=charges.true(worst))
            for total, least in zip((units @ costs).tolist(), p99.tolist(), strict=True)
        ]


class Figure(NamedTuple):
    """The texts of a figure of the cost.

    name : in JSON and columns, before the cost ('average' in average_cost and average_latency_ms); heading : above a
    narrow column; words : before an amount, and above a wide column.
    """

    name: str
    heading: str
    words: str

    def of(self, cost: str = "cost") -> str:
        """'worst_case_cost' of the committee's own cost, 'worst_case_usd' of the cost 'usd'."""
        return f"{self.name}_{cost}"


FIGURES: dict[str, Figure] = {  # by field of Cost
    "average": Figure("average", "average", "average"),
    "p99": Figure("p99", "p99", "99 % of units at most"),
    "worst": Figure("worst_case", "worst", "worst case"),
}


def figure_on(axis: str) -> Figure:
    """The texts of the figure that a frontier over this axis is over."""
    return FIGURES.get(axis) or Figure(axis, axis, f"{axis[1:]} % of units at most")


def shown_along(axis: str) -> tuple[str, ...]:
    """The figures that a table of a frontier over this axis has, in order."""
    return ("average", "worst") if axis in ("average", "worst") else ("average", axis, "worst")


def words_on(axis: str) -> str:
    """What a cost on this axis is: 'on average', 'for 99 % of the units'."""
    return {"average": "on average", "worst": "in the worst case"}.get(axis) or f"for {axis[1:]} % of the units"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of a committee on a split.

    Parameters
    ----------
    committee : Committee
    split : str
    n : int
        Number of units.
    correct : float
        Sum of the task's statistic: number of units that are right, or of pixels for segmentation.
    quality : float
        In [0, 1].
    costs : {name: Cost}
        The committee's own cost and every other cost that all its members' cards name.
    exit_ratios : tuple of float
        Share of the units that exit at each stage, [K].
    graded_interval : (float, float) or None
        95 % interval of a graded quality or of mIoU; None if units are right or wrong.
    measure : str
        'accuracy' (also for graded answers) or 'mIoU'.
    answered : int or None
        Number of units that get an answer; the others count as not right. None for a committee that always answers.
    distributions : {name: Distribution}
        Of the costs that vary per unit, and of those whose percentiles or shares were asked for.
    """

    committee: Committee
    split: str
    n: int
    correct: float
    quality: float
    costs: Mapping[str, Cost]
    exit_ratios: tuple[float, ...]
    graded_interval: tuple[float, float] | None = None
    measure: str = "accuracy"
    answered: int | None = None
    distributions: Mapping[str, Distribution] = field(default_factory=dict)

    @property
    def cost(self) -> Cost:
        """The committee's own cost: the one it was chosen by."""
        return self.costs[self.committee.cost]

    @property
    def further(self) -> dict[str, Cost]:
        """{name: cost} of the costs besides the committee's own."""
        return {name: cost for name, cost in self.costs.items() if name != self.committee.cost}

    @property
    def average_cost(self) -> float:
        """Mean cost of a unit, in units of the committee's cost."""
        return self.cost.average

    @property
    def p99_cost(self) -> float:
        """The least cost that 99 % of the units do not exceed, in units of the committee's cost."""
        return self.cost.p99

    @property
    def worst_case_cost(self) -> float:
        """Cost of a unit that runs every member, in units of the committee's cost."""
        return self.cost.worst

    def cost_named(self, name: str) -> float:
        """A figure of a cost by its name.

        Parameters
        ----------
        name : str
            'average_cost', 'p99_cost' or 'worst_case_cost'; or average_NAME, p99_NAME or worst_case_NAME for the cost
            NAME.

        Returns
        -------
        float

        Raises
        ------
        UnknownNameError
            There is no such figure.
        """
        known = {
            figure.of(cost): getattr(self.costs[cost], field)
            for field, figure in FIGURES.items()
            for cost in self.costs
        }
        known |= {
            figure_on(axis).of("cost" if own else cost): value
            for cost, each in self.distributions.items()
            for axis, value in each.percentiles_json().items()
            for own in (False, cost == self.committee.cost)
        }
        known |= self.own_figures()
        if name not in known:
            raise UnknownNameError("cost", name, known)
        return known[name]

    def on(self, axis: str) -> float:
        """The figure of the committee's cost that a frontier over this axis is over."""
        return self.cost_named(figure_on(axis).of())

    def percentile(self, percent: float) -> float:
        """What so many percent of the units do not exceed, of the committee's cost; where it was asked for."""
        return dict(self.distributions[self.committee.cost].percentiles)[percent]

    def own_figures(self) -> dict[str, float]:
        """{"average_cost": .., "p99_cost": .., "worst_case_cost": ..} of the committee's own cost."""
        return {FIGURES[field].of(): value for field, value in self.cost._asdict().items()}

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the quality, in [0, 1]: Wilson for counts, bootstrap for grades, linearised for mIoU."""
        return self.graded_interval or wilson_interval(int(self.correct), self.n)

    @property
    def on_answered(self) -> Answered | None:
        """The share of units with an answer, and the accuracy on these; None for a committee that always answers."""
        return None if self.answered is None else Answered.of(self.correct, self.answered, self.n)

    def exceeding(self) -> dict[str, float]:
        """{"P(latency_ms > 800)": share of the units}, where such shares were asked for."""
        return {
            Guarantee("exceeding", 0.0, name, amount).left: share
            for name, each in self.distributions.items()
            for amount, share in each.exceeding
        }

    def figures(self) -> dict[str, Any]:
        """The figures as JSON values, without the committee."""
        out: dict[str, Any] = {
            "n": self.n,
            "correct": self.correct,
            "quality": self.quality,
            "interval": list(self.interval),
            **self.own_figures(),
            "further_costs": {
                name: {FIGURES[field].name: value for field, value in cost._asdict().items()}
                for name, cost in self.further.items()
            },
            "exit_ratios": list(self.exit_ratios),
        }
        if percentiles := {name: each.percentiles_json() for name, each in self.distributions.items()}:
            out["percentiles"] = {name: of_cost for name, of_cost in percentiles.items() if of_cost}
        if exceeding := self.exceeding():
            out["exceeding"] = exceeding
        if self.on_answered is not None:
            out |= self.on_answered.to_json()
        if self.committee.cost == "flops":
            out["average_flops"], out["worst_case_flops"] = self.average_cost, self.worst_case_cost
        return out
