"""Ways to search, one file each, and the dict of them by name.

May be added: a file with a Strategy and its line in METHODS, by which `method` names it.
"""

from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.searches.stages.pool_confidence import require_confidence
from wisecommittee.searches.strategies.exact import EXACT
from wisecommittee.searches.strategies.exhaustive import EXHAUSTIVE
from wisecommittee.searches.strategies.large_pools import BEAM, GREEDY
from wisecommittee.searches.strategies.problem import Problem, Strategy
from wisecommittee.searches.strategies.shared_threshold import SHARED_THRESHOLD
from wisecommittee.searches.strategies.skyline import SKYLINE
from wisecommittee.searches.workers.estimate import Estimate

METHODS = {strategy.name: strategy for strategy in (EXHAUSTIVE, EXACT, BEAM, GREEDY)}  # by the value of the option
STRATEGIES = METHODS | {strategy.name: strategy for strategy in (SHARED_THRESHOLD, SKYLINE)}


def auto(estimate: Estimate, threads: int) -> str:
    """The exhaustive search where that is feasible, else the beam."""
    return EXHAUSTIVE.name if estimate.fits(threads) else BEAM.name


def strategy_for(problem: Problem) -> Strategy:
    """The strategy of a problem.

    Raises
    ------
    UsageError
        The strategy cannot solve it.
    AbsentError
        The models are answers stored without a confidence, and the strategy compares confidences.
    """
    query = problem.query
    _require_confidence(problem)
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


def _require_confidence(problem: Problem) -> None:
    """Raise if committees of several stages are searched, and their models have no confidence to compare."""
    if problem.family.thresholded and max(problem.sizes) > 1:
        require_confidence(problem.pool.confidence, problem.cards, "thresholds")
