"""What a search chooses within every budget, each as `search_and_choose` does, and what to expect of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.cross_fit import Skipped
from wisecommittee.searches.resampling.evidence import along
from wisecommittee.searches.resampling.selecting import Asked, cross_fitted, robust_frontier, settled
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class EveryBudget:
    """The committees one of which is chosen within every budget.

    Parameters
    ----------
    choices : tuple of Evaluation
        On the units that chose them, by rising cost.
    expected : tuple of Expected
        Of each choice on new units; empty without folds.
    singles : tuple of Evaluation
        Every model by itself, by cost.
    note : str
        Why there are no expected figures.
    """

    choices: tuple[Evaluation, ...]
    expected: tuple[Expected, ...]
    singles: tuple[Evaluation, ...]
    note: str = ""

    def costs(self) -> list[float]:
        """The average cost of each choice: to be expected where a policy is fitted to the units that choose."""
        return [each.average_cost for each in self.expected or self.choices]

    def committee(self, place: int) -> Committee:
        """The committee of a choice, with what is expected of it."""
        committee = self.choices[place].committee
        return replace(committee, expected=self.expected[place].to_json()) if self.expected else committee

    def within(self, limit: float) -> int:
        """The place of the choice whose average cost is at most a limit.

        Raises
        ------
        InfeasibleError
            No committee is that cheap; the message names the cheapest.
        """
        costs = self.costs()
        fitting = [place for place, cost in enumerate(costs) if cost <= limit]
        if not fitting:
            cheapest = int(np.argmin(costs))
            raise InfeasibleError(
                f"no committee costs at most {limit:,.12g} on average; the cheapest is "
                f"{self.choices[cheapest].committee.label()} at {costs[cheapest]:,.12g}"
            )
        return fitting[-1]

    def reaching(self, quality: float) -> int:
        """The place of the cheapest choice that is expected to reach a quality, 0 to 1.

        Raises
        ------
        InfeasibleError
            None is; the message names the best.
        """
        if not self.expected:
            raise InfeasibleError(f"no committee is known to reach {quality:.6g} on new units: {self.note}")
        qualities = self._rising()
        reached = np.flatnonzero(qualities >= quality - 1e-12)
        if not len(reached):
            raise InfeasibleError(
                f"no committee is expected to reach {quality:.6g} on new units; the best, "
                f"{self.choices[-1].committee.label()}, is expected to reach {qualities[-1]:.4g}"
            )
        return int(reached[0])

    def _rising(self) -> NDArray[np.float64]:
        """The expected qualities, made to rise with the budget (isotonic regression)."""
        from scipy.optimize import isotonic_regression

        return np.asarray(isotonic_regression([each.quality for each in self.expected]).x)


def choose_within_every_budget(
    store: LogitStore, query: Query, execution: Execution | None = None, selection: Selection | None = None
) -> EveryBudget:
    """Search once, and choose within every budget on the average cost.

    Parameters
    ----------
    store, query, execution, selection
        As of `search_and_choose`; the query is over the average cost.

    Returns
    -------
    EveryBudget

    Raises
    ------
    UsageError
        The query cannot be asked of these models.
    """
    solution = solution_of(store, query, execution or Execution())
    asked = Asked(solution, None, solution.frontier.best(), None)
    robust = solution.strategy.proves and solution.strategy.name != "exact"
    selection = settled(asked, replace(selection or Selection(), choose="robust" if robust else "best"))
    frontier = robust_frontier(asked) if robust else solution.frontier
    committees = [e.committee for e in frontier]
    choices = tuple(evaluate_in(solution.problem.pool, committees, solution.problem.execution.threads))
    crossfit = cross_fitted(asked, selection)
    if isinstance(crossfit, Skipped):
        return EveryBudget(choices, (), solution.frontier.singles, crossfit.why)
    expected = along(crossfit, replace(frontier, evaluations=choices, expected=()))
    return EveryBudget(choices, expected, solution.frontier.singles)
