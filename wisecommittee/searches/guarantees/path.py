"""The order in which committees are tested, fixed on the units that chose: from the one most surely true to the aim."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.statements.statement import Guarantee
from wisecommittee.searches.target import Target

STEP = 0.98  # most of the cost of a committee that the next one on the path has


def candidates(
    frontier: Frontier, references: Sequence[Evaluation], target: Target | None, least: float | None
) -> list[Evaluation]:
    """Committees of a frontier and reference models that meet the target on the units that chose, by falling cost.

    The frontier is thinned: each of its committees costs at most STEP times the one before, and is the most accurate
    that does. Steps are the smaller the more tests there are room for, and neighbours on a frontier hardly differ.

    Parameters
    ----------
    frontier : Frontier
    references : sequence of Evaluation
        Single models that statements compare committees with.
    target : Target or None
        Its cost limits candidates.
    least : float or None
        The least quality of a target accuracy or of a model to match.
    """
    limit = target.budget if target else None

    def meets(e: Evaluation) -> bool:
        return (limit is None or frontier.x(e) <= limit) and (least is None or e.quality >= least)

    kept: list[Evaluation] = []
    for e in reversed(frontier.evaluations):
        if meets(e) and (not kept or frontier.x(e) <= STEP * frontier.x(kept[-1])):
            kept.append(e)
    if not kept:
        words = f"costs at most {limit:g}" if limit is not None else f"reaches {least:.6g}"
        raise InfeasibleError(f"no committee {words} on the units that choose; {_extreme(frontier, limit)}")
    known = {e.committee.stages for e in kept}
    kept += [e for e in references if meets(e) and e.committee.stages not in known]
    return sorted(kept, key=lambda e: (-frontier.x(e), -e.quality))


def _extreme(frontier: Frontier, limit: float | None) -> str:
    if limit is None:
        best = frontier.best()
        return f"the best is {best.committee.label()} with {best.quality:.6g}"
    cheapest = frontier.evaluations[0]
    return f"the cheapest is {cheapest.committee.label()} at {frontier.x(cheapest):,.12g}"


def saves_cost(guarantees: Sequence[Guarantee], target: Target | None) -> bool:
    """Whether the aim is a low cost: the target says so, or without one, a statement about the predictions does. Else
    the aim is quality."""
    if target is not None:
        return target.budget is None
    return not all(each.of_cost for each in guarantees)


def order_of_tests(candidates: Sequence[Evaluation], p_value: Callable[[int], float], *, save_cost: bool) -> list[int]:
    """Indices of candidates in the order in which they are tested.

    The first is the candidate whose statements are the surest on the units that chose, by the p-value that these units
    give. The path goes from there to lower cost or to higher quality, so that the last success is the best one.

    Parameters
    ----------
    candidates : sequence of Evaluation
        By falling cost.
    p_value : function
        Index of a candidate -> p-value of all statements together on the units that chose.
    save_cost : bool
        The aim, of `saves_cost`.
    """
    order = list(range(len(candidates)))
    if not save_cost:
        order.sort(key=lambda i: candidates[i].quality)
    surest, least = 0, math.inf
    for place, index in enumerate(order):
        if (p := p_value(index)) < least:
            surest, least = place, p
        if not least:  # nothing is surer
            break
    return order[surest:]
