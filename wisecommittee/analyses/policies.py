"""Kinds of policies beside one threshold per stage, at budgets between the cheapest and the best single model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wisecommittee.errors import InfeasibleError, UsageError, option
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.methods import fitting
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.comparison import PairedDifference, difference_of_rules
from wisecommittee.searches.resampling.cross_fit import CrossFit, FoldSearches, Skipped, cross_fit
from wisecommittee.searches.resampling.estimates import expected_figures
from wisecommittee.searches.resampling.fitted import Fitted
from wisecommittee.searches.resampling.rules import Mixed
from wisecommittee.searches.search import Solution, solve
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.store import StoreLike, open_store

SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way from the cheapest to the best single model
FOLDS = 5


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """One kind of policy at one budget.

    Parameters
    ----------
    kind : str
    budget : float
        Average cost, in units of the cost.
    expected : Expected
        Of the best mixture of two committees within the budget; cross-fitted.
    gain : PairedDifference or None
        Quality less that of the first kind, thresholds, at the same budget; None for that kind itself.
    """

    kind: str
    budget: float
    expected: Expected
    gain: PairedDifference | None

    def to_json(self) -> dict[str, Any]:
        gain = self.gain
        return {
            "policy": self.kind,
            "budget": self.budget,
            "expected": self.expected.to_json(),
            "gain": None if gain is None else {"mean": gain.mean, "interval": list(gain.interval), "p": gain.p},
        }


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    """Kinds of policies on one split.

    Parameters
    ----------
    split, cost, quality : str
    units, folds : int
    budgets : tuple of float
    figures : tuple of PolicyFigures
        By budget, the simplest kind first.
    left_out : {kind: str}
        Kinds that do not fit, and why.
    """

    split: str
    cost: str
    quality: str
    units: int
    folds: int
    budgets: tuple[float, ...]
    figures: tuple[PolicyFigures, ...]
    left_out: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The object that `compare-policies --json` prints."""
        return {
            "split": self.split,
            "cost": self.cost,
            "quality": self.quality,
            "n": self.units,
            "folds": self.folds,
            "budgets": list(self.budgets),
            "figures": [each.to_json() for each in self.figures],
            "left_out": dict(self.left_out),
        }


def compare_policies(
    store: StoreLike,
    query: Query | None = None,
    execution: Execution | None = None,
    *,
    kinds: Collection[str] | None = None,
    budgets: Sequence[float] = (),
    folds: int = FOLDS,
    repeats: int = 1,
    seed: int = 0,
    group_by: str | None = None,
) -> PolicyComparison:
    """Compare every kind of policy that fits a store at equal average costs.

    Every figure is cross-fitted: a unit is measured in the committee that is chosen without the unit's fold. Mixtures
    of two neighbouring committees are allowed to all kinds, so that all spend the whole budget.

    Parameters
    ----------
    store : LogitStore or path
    query : Query, optional
        Its policy is not used.
    execution : Execution, optional
    kinds : collection of str, optional
        Kinds of policies beside thresholds; by default all.
    budgets : sequence of float, optional
        Average costs; by default a quarter, a half, three quarters and the whole of the way from the cheapest to the
        best single model.
    folds, repeats, seed, group_by
        As of Selection.

    Returns
    -------
    PolicyComparison

    Raises
    ------
    UsageError
        The frontier is not over average costs, or there are no folds.
    UnknownNameError
        There is no such kind of policy.
    InfeasibleError
        There are too few units for the folds.

    Examples
    --------
    >>> compare_policies("logits").figures[0].expected.quality                      # doctest: +SKIP
    """
    query = query or Query()
    if query.axis != "average":
        raise UsageError(f"policies are compared at average costs; leave {option('axis', query.axis)} out")
    if folds < 2:
        raise UsageError(f"{option('folds', folds)}; policies are compared by folds, expected at least 2")
    problem = pose(open_store(store), replace(query, policy="thresholds"), execution or Execution())
    fit, left_out = fitting(problem, kinds)
    searches: dict[str, tuple[Solution, CrossFit]] = {}
    for kind, (of_kind, strategy) in fit.items():
        solution = solve(of_kind, strategy)
        crossfit = cross_fit(FoldSearches(solution, folds, repeats, seed, group_by=group_by))
        if isinstance(crossfit, Skipped):
            left_out[kind] = crossfit.why
        else:
            searches[kind] = solution, crossfit
    if not searches:
        raise InfeasibleError("; ".join(f"{kind}: {why}" for kind, why in left_out.items()))
    first = next(iter(searches.values()))[0].frontier
    limits = tuple(sorted(budgets)) or between_singles(first)
    figures = [each for limit in limits for each in figures_at(limit, searches, seed)]
    pool = problem.pool
    return PolicyComparison(
        pool.split, pool.cost.name, pool.quality, pool.units, folds, limits, tuple(figures), left_out
    )


def between_singles(frontier: Frontier, shares: Sequence[float] = SHARES) -> tuple[float, ...]:
    """Average costs at these shares of the way from the cheapest to the best single model."""
    low, high = min(e.average_cost for e in frontier.singles), frontier.best_single().average_cost
    if low == high:
        raise UsageError(
            f"the cheapest model is the best one, so nothing lies between them; name costs with {option('budgets')}"
        )
    return tuple(low + share * (high - low) for share in shares)


def figures_at(limit: float, searches: Mapping[str, tuple[Solution, CrossFit]], seed: int) -> Iterator[PolicyFigures]:
    """The figures of every kind at one budget; gains are over the first of the searches."""
    rule, base = Mixed(limit, seed), None
    for kind, (solution, crossfit) in searches.items():
        committee = rule.of(solution.frontier)
        (chosen,) = crossfit.on_all([committee])
        fitted = Fitted.of(crossfit.pool.task, crossfit.outcomes(rule), chosen, crossfit.together)
        expected = expected_figures(crossfit, fitted, chosen, committee)
        yield PolicyFigures(kind, limit, expected, None if base is None else difference_of_rules(fitted, base))
        base = base or fitted
