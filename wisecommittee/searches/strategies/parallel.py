"""Searches of committees whose stages run their members at the same time."""

from __future__ import annotations

from wisecommittee.committees.families.family import Family
from wisecommittee.committees.families.together import together
from wisecommittee.errors import AbsentNameError, UsageError, option
from wisecommittee.searches.query import Query
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.workers.estimate import count_combinations

MOST = 500_000  # divisions of combinations into stages: they are listed one by one
FAMILIES = ("cascade", "ensemble")


def with_parallel(family: Family, pool: Pool, query: Query) -> Family:
    """The family of a query, in which every stage can add several models where that is not the same as several stages.

    With the rule `last` only the newest member answers, so the others of its stage add nothing but costs.

    Raises
    ------
    UsageError
        The costs, the family or the models cannot run at the same time, or there are too many combinations.
    AbsentNameError
        A cost is on no card.
    """
    if not query.parallel:
        return family
    asked = option("parallel", query.parallel[0])
    known = [charges.name for charges in (pool.cost, *pool.further)]
    for name in query.parallel:
        if name == "flops":
            raise UsageError(f"{option('parallel', name)}: multiply-adds add up, also at the same time; name a latency")
        if name not in known:
            raise AbsentNameError("cost", name, known)
    if family.name not in FAMILIES:
        raise UsageError(f"{asked} with {option('family', family.name)}; expected {' or '.join(FAMILIES)}")
    if grouped := next((card for card in pool.cards if card.group is not None), None):
        raise UsageError(
            f"{asked} is for models that run by themselves, and {grouped.model} belongs to group {grouped.group!r}; "
            f"choose models with {option('models')}"
        )
    if pool.combine.ordered:
        return family
    most = query.max_models or family.stages or len(pool.cards)
    sizes = range(1, min(most, len(pool.cards)) + 1)
    counts = count_combinations(pool.cards, sizes, family, query.replicas)
    divisions = sum(number * 2 ** (size - 1) for size, number in counts.items())
    if divisions > MOST:
        raise UsageError(
            f"{asked}: {divisions:,} divisions of these models into stages are more than {MOST:,}; lower "
            f"{option('max_models', most)}, or choose fewer models with {option('models')}"
        )
    return together(family, most, sequenced=pool.sequenced)
