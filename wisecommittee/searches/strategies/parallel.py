"""Searches of committees for which a stage of several models is not the same as several stages."""

from __future__ import annotations

from wisecommittee.committees.families.family import Family
from wisecommittee.committees.families.together import together
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import AbsentNameError, UsageError, option
from wisecommittee.searches.query import Query
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.workers.estimate import count_combinations

MOST = 500_000  # divisions of combinations into stages: they are listed one by one
FAMILIES = ("cascade", "ensemble")
UNPROVEN = ("beam", "greedy")  # methods that take stages of one tier of the family


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
    if (divisions := _divisions(family, pool, query)) > MOST:
        raise _too_many(divisions, asked, family, pool, query)
    return together(family, _most(family, pool, query), sequenced=pool.sequenced)


def with_overhead(family: Family, pool: Pool, query: Query) -> Family | None:
    """The family of a query, in which every stage can add several models if stages have an overhead that counts.

    A stage of several models has the overhead once; several stages, of which nobody leaves the first, have it several
    times. None if there are too many divisions into stages to try, so that the query takes a method that proves
    nothing.

    Raises
    ------
    UsageError
        The query asks for a method that tries every division, and there are too many.
    """
    limited = bool(query.max_average or query.limit)
    counts = pool.cost.stage or (limited and any(charges.stage for charges in pool.further))
    searched = query.policy == Thresholds.kind and query.method not in UNPROVEN
    if not counts or not searched or query.parallel or family.stages == 1:
        return family
    if (divisions := _divisions(family, pool, query)) <= MOST:
        return together(family, _most(family, pool, query), sequenced=pool.sequenced)
    if query.method == "auto" and not query.exact and family.chains is not None:
        return None
    raise _too_many(divisions, f"the overhead of a stage in {pool.cost.name}", family, pool, query)


def _most(family: Family, pool: Pool, query: Query) -> int:
    return query.max_models or family.stages or len(pool.cards)


def _divisions(family: Family, pool: Pool, query: Query) -> int:
    sizes = range(1, min(_most(family, pool, query), len(pool.cards)) + 1)
    counts = count_combinations(pool.cards, sizes, family, query.replicas)
    return sum(number * 2 ** (size - 1) for size, number in counts.items())


def _too_many(divisions: int, asked: str, family: Family, pool: Pool, query: Query) -> UsageError:
    return UsageError(
        f"{asked}: {divisions:,} divisions of these models into stages are more than {MOST:,}; lower "
        f"{option('max_models', _most(family, pool, query))}, or choose fewer models with {option('models')}"
    )
