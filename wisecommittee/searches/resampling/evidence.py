"""The evidence for a choice: expected figures of the committee, its comparison with a reference, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.resampling.comparison import (
    NO_DIFFERENCE,
    ReferenceComparison,
    difference_from_best,
    difference_from_named_best,
    paired_difference,
)
from wisecommittee.searches.resampling.cross_fit import Chooser, CrossFit
from wisecommittee.searches.resampling.estimates import expected_costs, expected_figures, less_flattered, possible_costs
from wisecommittee.searches.resampling.fitted import Fitted
from wisecommittee.searches.resampling.rules import Always, Within
from wisecommittee.searches.resampling.speedup import speedup
from wisecommittee.searches.resampling.verdict import Verdict, judge
from wisecommittee.searches.selection import Selection


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the units that chose a committee say of new units.

    Parameters
    ----------
    expected : Expected or None
        None without folds.
    comparison, verdict : ReferenceComparison, Verdict or None
        None without folds.
    along : tuple of Expected
        Of each committee of the frontier, where no target chooses one of them.
    note : str
        Why there are no expected figures.
    """

    expected: Expected | None = None
    comparison: ReferenceComparison | None = None
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
    crossfit: CrossFit,
    chosen: Chosen,
    reference: Committee,
    frontier: Frontier,
    selection: Selection,
    *,
    named: bool,
) -> Evidence:
    """The evidence for a committee beside a reference.

    Parameters
    ----------
    crossfit : CrossFit
    chosen : Chosen
    reference : Committee
    named : bool
        Whether the user named the reference; else it is the best single model of the same units.
    frontier : Frontier
        Of all units; its axis names the cost that the speed-up is of.
    selection : Selection
    """
    pool, rate = crossfit.pool, float(crossfit.pool.cost.unit)
    singles = [e.committee for e in frontier.singles]
    committees = [chosen.committee, reference, *singles]
    outcomes = crossfit.on_all(committees)
    possible = [possible_costs(pool, committee) for committee in committees[:2]]
    fitted = Fitted.of(pool.task, crossfit.outcomes(chosen.rule), outcomes[0], crossfit.together)
    best = frontier.best_single().committee
    same = chosen.committee.decides_as(reference)
    if same:
        gap = NO_DIFFERENCE
    elif named and not reference.decides_as(best):
        gap = paired_difference(fitted, outcomes[1])
    else:
        compared = difference_from_named_best if named else difference_from_best
        gap = compared(fitted, outcomes[1], outcomes[2:])
    ours = expected_costs(chosen.committee, fitted, outcomes[0]).mean(axis=0)
    costs = [np.asarray(each * rate, np.float64) for each in (ours, outcomes[1].cost)]
    cheaper = speedup(frontier.axis, costs[1], costs[0], (possible[1][1], possible[0][1]), fitted.groups)
    names, trusted = " + ".join(reference.models), pool.store.labels_from
    comparison = ReferenceComparison(names, gap, cheaper, pool.units, same, labels_from=trusted)
    expected = expected_figures(crossfit, fitted, outcomes[0], chosen.committee)
    if isinstance(chosen.rule, Always) and chosen.committee.decides_as(best):
        expected = less_flattered(expected, fitted, outcomes[2:])
    return Evidence(expected, comparison, judge(comparison, selection.margin, selection.min_speedup))


def along(crossfit: CrossFit, frontier: Frontier) -> tuple[Expected, ...]:
    """The expected figures of every committee of a frontier of all units."""
    return tuple(figures for figures, _ in fitted_along(crossfit, frontier))


def fitted_along(crossfit: CrossFit, frontier: Frontier) -> list[tuple[Expected, Fitted]]:
    """For every committee of a frontier of all units its expected figures, and the outcomes they come from."""
    committees = [e.committee for e in frontier]
    outcomes = crossfit.on_all(committees)
    pool, made = crossfit.pool, []
    for e, each in zip(frontier, outcomes, strict=True):
        fitted = Fitted.of(pool.task, crossfit.outcomes(Within(frontier.x(e))), each, crossfit.together)
        made.append((expected_figures(crossfit, fitted, each, e.committee), fitted))
    return made
