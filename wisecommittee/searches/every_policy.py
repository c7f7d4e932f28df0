"""The search of every kind of policy that fits a store, and the choice among them by what is expected of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import InfeasibleError, option
from wisecommittee.searches.evaluation import Evaluation, figure_on
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.frontier import Frontier, skyline
from wisecommittee.searches.methods import AUTO_POLICY
from wisecommittee.searches.raced import Raced, race_of
from wisecommittee.searches.resampling.among_policies import Candidate, choose_kind, simplest_of_best
from wisecommittee.searches.resampling.cross_fit import CrossFit, Skipped
from wisecommittee.searches.resampling.evidence import fitted_along
from wisecommittee.searches.resampling.selecting import Plan, Selected, plan, with_evidence
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.strategies.problem import Problem
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.threads import interrupts, stop_is_due


@dataclass(frozen=True, slots=True)
class AmongPolicies:
    """What the search of every kind of policy chooses.

    frontier : of all kinds; with expected figures where there is no target. matched, best : as of Asked, of the kind
    that is chosen.
    """

    selected: Selected
    frontier: Frontier
    matched: Evaluation | None
    best: Evaluation


def select_among(problem: Problem, target: Target | None, selection: Selection) -> AmongPolicies:
    """Search with every kind of policy that fits, and choose one by cross-fitted outcomes.

    Parameters
    ----------
    problem : Problem
    target : Target or None
    selection : Selection
        With folds; by default FITTED_FOLDS.

    Returns
    -------
    AmongPolicies
        After Ctrl-C or the time limit, the best of the kinds that were searched without every fold by then; if there is
        none, the choice of the simplest kind on the units that choose, without expected figures.

    Raises
    ------
    InfeasibleError
        No kind of policy meets the target, or none can be searched without each fold.
    """
    raced = race_of(problem, target, selection)
    plans: dict[str, Plan] = {}
    for kind, crossfit in raced.crossfits.items():
        try:
            plans[kind] = plan(raced.asked[kind], selection, crossfit)
        except InfeasibleError as error:  # no committee of this kind is expected to reach the target
            raced.refused[kind] = str(error)
    if notify := problem.execution.notify:
        for kind, why in (raced.refused | raced.dropped).items():
            notify(f"without {option('policy', kind)}: {why}")
    if not plans:
        return _simplest(problem, raced, selection)
    candidates = [_candidate(kind, planned) for kind, planned in plans.items()]
    number, chosen = choose_kind(candidates)
    kinds = list(plans)
    first, winner = plans[kinds[0]], plans[kinds[number]]
    selected = with_evidence(replace(first, chosen=chosen))
    points = _all_points(plans) if target is not None else _expected_points(candidates, plans)
    frontier = _frontier(problem, plans, points, raced, kinds[number])
    along = tuple(expected for _, expected in points if expected is not None)
    selected = replace(selected, evidence=replace(selected.evidence, along=along))
    return AmongPolicies(selected, frontier, winner.asked.matched, winner.asked.best)


def _simplest(problem: Problem, raced: Raced, selection: Selection) -> AmongPolicies:
    """After a stop, the choice of the first kind that was searched, on the units that choose."""
    if not raced.asked or not stop_is_due(problem.deadline):
        raise InfeasibleError("; ".join(f"{kind}: {why}" for kind, why in raced.refused.items()))
    kind, asked = next(iter(raced.asked.items()))
    planned = plan(asked, selection, Skipped("stopped before all folds were searched", stopped=True))
    plans = {kind: planned}
    frontier = _frontier(problem, plans, _all_points(plans), raced, kind)
    return AmongPolicies(with_evidence(planned), frontier, asked.matched, asked.best)


def _candidate(kind: str, planned: Plan) -> Candidate:
    """What each unit gains: quality within a budget, or minus the cost where a quality is to be met."""
    crossfit, target = planned.crossfit, planned.asked.target
    assert isinstance(crossfit, CrossFit)
    outcomes = crossfit.outcomes(planned.chosen.rule)
    if target is None or target.budget is not None:
        gains = [crossfit.pool.task.worth(each.statistics) for each in outcomes]
    else:
        gains = [-each.cost.astype(np.float64) for each in outcomes]
    return Candidate(kind, crossfit, planned.chosen, np.mean(gains, axis=0))


Points = list[tuple[Evaluation, Expected | None]]  # by rising cost and quality


def _all_points(plans: Mapping[str, Plan]) -> Points:
    """The committees of all kinds that no other beats on the units that choose."""
    axis = figure_on(next(iter(plans.values())).asked.solution.problem.query.axis).of()
    return [(e, None) for e in skyline((e for each in plans.values() for e in each.asked.frontier), axis)]


def _expected_points(candidates: Sequence[Candidate], plans: Mapping[str, Plan]) -> Points:
    """The committees of all kinds that are expected to beat every cheaper one, and simpler kinds beyond noise."""
    every: list[tuple[float, int, Evaluation, Expected, NDArray[np.float64]]] = []
    for rank, (candidate, planned) in enumerate(zip(candidates, plans.values(), strict=True)):
        frontier = planned.asked.frontier
        along = zip(frontier, fitted_along(candidate.crossfit, frontier), strict=True)
        every += [(frontier.x(e), rank, e, expected, fitted.worth) for e, (expected, fitted) in along]
    every.sort(key=lambda point: point[:2])
    best: dict[int, NDArray[np.float64]] = {}  # by rank: the worth of the best committee so far
    points: Points = []
    quality, shown, cost = -1.0, -1.0, -1.0
    for x, rank, e, expected, worth in every:
        simpler = [row for other, row in best.items() if other < rank]
        if rank not in best or worth.mean() > best[rank].mean():
            best[rank] = worth
        if simpler and simplest_of_best([max(simpler, key=lambda row: float(row.mean())), worth]) == 0:
            continue
        if expected.quality > quality and e.quality > shown:
            if x == cost:
                points.pop()
            quality, shown, cost = expected.quality, e.quality, x
            points.append((e, expected))
    return points


def _frontier(problem: Problem, plans: Mapping[str, Plan], points: Points, raced: Raced, chosen: str) -> Frontier:
    """The frontier of all kinds, with what was searched."""
    every = [each.frontier for each in raced.asked.values()]
    first = next(iter(plans.values())).asked.frontier
    searched: dict[str, Any] = {
        name: sum(frontier.searched.get(name, 0) for frontier in every)
        for name in ("combinations", "threshold_vectors")
    }
    searched |= {"method": AUTO_POLICY, "complete": not stop_is_due(problem.deadline)}
    if not searched["complete"]:
        searched["stopped_by"] = "interrupt" if interrupts().number else "time limit"
    kinds = [kind for kind in raced.asked if kind in plans or kind in raced.dropped]
    searched |= {"certified": False, "exact": False, "policy": chosen, "policies": kinds}
    searched |= {"refused": dict(raced.refused), "dropped": dict(raced.dropped)}
    searched["left_out"] = first.searched.get("left_out", 0)
    searched["seconds"] = round(sum(frontier.searched.get("seconds", 0) for frontier in every), 4)
    query = replace(problem.query, policy=AUTO_POLICY)
    frontier = Frontier(tuple(e for e, _ in points), first.singles, query, searched, first.store, first.quality)
    return frontier.recorded(problem.pool.store, problem.cards)
