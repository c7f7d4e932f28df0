"""The evidence for a choice: expected figures of the committee, its comparison with a reference, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.resampling.comparison import Comparison, paired_difference
from wisecommittee.searches.resampling.cross_fit import Chooser, CrossFit
from wisecommittee.searches.resampling.expected import Expected, expected_figures
from wisecommittee.searches.resampling.outcomes import Outcomes, outcomes_of
from wisecommittee.searches.resampling.rules import Within
from wisecommittee.searches.resampling.speedup import speedup
from wisecommittee.searches.resampling.verdict import Verdict, judge
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.stages.exit_table import prefix_tables


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the units that chose a committee say of new units.

    Parameters
    ----------
    expected : Expected or None
        None without folds.
    comparison, verdict : Comparison, Verdict or None
        None without folds.
    along : tuple of Expected
        Of each committee of the frontier, where no target chooses one of them.
    note : str
        Why there are no expected figures.
    """

    expected: Expected | None = None
    comparison: Comparison | None = None
    verdict: Verdict | None = None
    along: tuple[Expected, ...] = ()
    note: str = ""

    def to_json(self, margin: float) -> dict[str, Any]:
        """The keys of `search --json`; margin as of Selection."""
        return {
            "expected": None if self.expected is None else self.expected.to_json(),
            "comparison": None if self.comparison is None else self.comparison.to_json(margin),
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "note": self.note or None,
        }


@dataclass(frozen=True, slots=True)
class Chosen:
    """A committee, and the rule that chooses one from the search without each fold."""

    committee: Committee
    rule: Chooser


def evidence(
    crossfit: CrossFit, chosen: Chosen, reference: Chosen, frontier: Frontier, selection: Selection
) -> Evidence:
    """The evidence for a committee beside a reference.

    Parameters
    ----------
    crossfit : CrossFit
    chosen, reference : Chosen
    frontier : Frontier
        Of all units; its axis names the cost that the speed-up is of.
    selection : Selection
    """
    pool, rate = crossfit.pool, float(crossfit.pool.cost.unit)
    committees = [chosen.committee, reference.committee]
    outcomes = outcomes_of(prefix_tables(pool, committees), committees)
    worst = [_worst(crossfit, committee) for committee in committees]
    fitted, other = crossfit.outcomes(chosen.rule), crossfit.outcomes(reference.rule)
    gap = paired_difference(pool.task, fitted, other, crossfit.together)
    costs = [np.asarray(each.cost * rate, np.float64) for each in outcomes]
    cheaper = speedup(frontier.axis, costs[1], costs[0], (worst[1], worst[0]))
    comparison = Comparison(
        " + ".join(reference.committee.models), gap, cheaper, pool.units
    )  # fmt: skip
    return Evidence(
        expected_figures(crossfit, fitted, outcomes[0], worst[0]),
        comparison,
        judge(comparison, selection.margin, selection.min_speedup),
    )


def along(crossfit: CrossFit, frontier: Frontier) -> tuple[Expected, ...]:
    """The expected figures of every committee of a frontier of all units."""
    committees = [e.committee for e in frontier]
    outcomes: Sequence[Outcomes] = outcomes_of(prefix_tables(crossfit.pool, committees), committees)
    return tuple(
        expected_figures(crossfit, crossfit.outcomes(Within(frontier.x(e))), each, e.worst_case_cost)
        for e, each in zip(frontier, outcomes, strict=True)
    )


def _worst(crossfit: CrossFit, committee: Committee) -> float:
    """The most that a unit can cost: all members together."""
    pool = crossfit.pool
    members = np.array([[pool.index(model) for model in committee.models]], np.int64)
    return pool.cost.true(int(pool.cost.worst(members)[0]))
