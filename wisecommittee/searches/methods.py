"""The strategies by name, and the strategy of a problem."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import AbsentError, UnknownNameError, UsageError, option
from wisecommittee.searches.findings import evaluated
from wisecommittee.searches.frontier import skyline
from wisecommittee.searches.policies import POLICY_STRATEGIES
from wisecommittee.searches.stages.pool_confidence import require_confidence
from wisecommittee.searches.strategies.exact import EXACT
from wisecommittee.searches.strategies.exhaustive import EXHAUSTIVE
from wisecommittee.searches.strategies.large_pools import BEAM, GREEDY
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.strategies.shared_threshold import SHARED_THRESHOLD
from wisecommittee.searches.strategies.skyline import SKYLINE
from wisecommittee.searches.workers.estimate import Estimate

METHODS = {strategy.name: strategy for strategy in (EXHAUSTIVE, EXACT, BEAM, GREEDY)}  # by the value of the option
AUTO_POLICY = "auto"  # every kind of policy that fits
STRATEGIES = METHODS | {strategy.name: strategy for strategy in (SHARED_THRESHOLD, SKYLINE)}


def auto(estimate: Estimate, threads: int) -> str:
    """The exhaustive search where that is feasible, else the beam."""
    return EXHAUSTIVE.name if estimate.fits(threads) else BEAM.name


def strategy_for(problem: Problem) -> Strategy:
    """The strategy of a problem.

    Raises
    ------
    UsageError
        The strategy cannot solve it; thresholds cannot where answers are stored without a confidence.
    """
    query = problem.query
    if query.policy == AUTO_POLICY:
        return AUTO
    if query.policy != Thresholds.kind:
        return _of_policy(problem)
    if problem.family.thresholded and max(problem.sizes) > 1:
        require_confidence(problem.pool.confidence, problem.cards, "thresholds")
    method = EXACT.name if query.exact else query.method
    if method == "auto":
        method = auto(problem.estimate, problem.execution.thread_count)
    if method not in METHODS:
        raise UnknownNameError("method", method, ["auto", *METHODS])
    if query.shared_threshold and method in (BEAM.name, GREEDY.name):
        raise UsageError(
            f"{option('shared_threshold', True)} tries every combination, and this is {method}: choose fewer models "
            f"with {option('models')}, a lower {option('max_models')}, or {option('method', 'exhaustive')}"
        )
    if query.shared_threshold:
        method = SHARED_THRESHOLD.name
    elif problem.pool.task.width > 1:
        method = SKYLINE.name
    strategy = STRATEGIES[method]
    strategy.refuse(problem)
    return strategy


def _of_policy(problem: Problem) -> Strategy:
    """The strategy of a policy other than thresholds."""
    query = problem.query
    policy = option("policy", query.policy)
    if query.policy not in POLICY_STRATEGIES:
        raise UnknownNameError("policy", query.policy, policies())
    given = {
        "method": query.method if query.method != "auto" else None,
        "exact": query.exact or None,
        "shared_threshold": query.shared_threshold or None,
        "family": query.family if query.family != "cascade" else None,
        "axis": query.axis if query.axis != "average" else None,
        "max_percentile_cost": query.max_percentile_cost,
        "max_average": query.max_average,
        "limit": query.limit[0] if query.limit else None,
        "parallel": query.parallel[0] if query.parallel else None,
    }
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"{policy} with {option(name, value)}, which goes with thresholds only; leave one of them out"
            )
    if problem.pool.task.width > 1:
        raise UsageError(f"{policy} needs units that are right or wrong or graded, not mIoU; leave it out")
    strategy = POLICY_STRATEGIES[query.policy]
    strategy.refuse(problem)
    return strategy


def policies() -> list[str]:
    """The values of the option `policy`."""
    return [Thresholds.kind, *POLICY_STRATEGIES, AUTO_POLICY]


def fitting(
    problem: Problem, kinds: Collection[str] | None = None
) -> tuple[dict[str, tuple[Problem, Strategy]], dict[str, str]]:
    """What every kind of policy makes of a problem, the simplest kind first, and {kind: why it does not fit}.

    kinds : besides thresholds; by default all.
    """
    if unknown := sorted(set(kinds or ()) - {Thresholds.kind, *POLICY_STRATEGIES}):
        raise UnknownNameError("policy", unknown[0], [Thresholds.kind, *POLICY_STRATEGIES])
    fit, refused = {}, {}
    for kind in (Thresholds.kind, *(k for k in POLICY_STRATEGIES if kinds is None or k in kinds)):
        of_kind = problem.with_policy(kind)
        try:
            fit[kind] = of_kind, strategy_for(of_kind)
        except (UsageError, AbsentError) as error:
            refused[kind] = str(error)
    return fit, refused


def _every_policy(problem: Problem) -> Findings:
    """The committees of all policies that fit, as they are on the units that choose."""
    fit, refused = fitting(problem)
    committees: list[Committee] = []
    searched: dict[str, Any] = {"combinations": 0, "threshold_vectors": 0, "method": AUTO_POLICY, "complete": True}
    for of_kind, strategy in fit.values():
        findings = strategy.run(of_kind)
        points = skyline(evaluated(findings, of_kind))
        committees += [e.committee for e in points]
        for name in ("combinations", "threshold_vectors"):
            searched[name] += findings.searched.get(name, 0)
        searched["complete"] &= findings.searched["complete"]
    return Findings((), None, searched | {"exact": False, "refused": refused}, committees=committees)


AUTO = Strategy(AUTO_POLICY, lambda problem: None, _every_policy)
