"""Search for routers beside plain cascades: `--policy router`."""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.feature_terms import Terms, term_matrix
from wisecommittee.committees.policies.router import Part, Router
from wisecommittee.errors import UsageError, option
from wisecommittee.searches.frontier import skyline
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.router.arms import arms_of, cascades_of, outcomes_by_unit, prices_of
from wisecommittee.searches.policies.router.routing import Routing, routings
from wisecommittee.searches.policies.router.terms import terms_of
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.estimate import MOST_MEMORY, machine_memory

MOST_CASCADES = 200  # plain cascades that are reported beside the routers


def refuse(problem: Problem) -> None:
    if len(problem.cards) < 2:
        raise UsageError(
            f"{option('policy', 'router')} chooses which of several models a unit runs, and there is one model; choose "
            f"more with {option('models')}"
        )
    if not problem.pool.features():
        raise UsageError(
            f"{problem.pool.split} has no features, which {option('policy', 'router')} decides by; import them with "
            f"`wisecommittee import --features FILE`, or lay them over this run with --features FILE (in Python "
            f"store.with_features(FILE))"
        )


def run(problem: Problem) -> Findings:
    pool, features = problem.pool, problem.pool.features()
    cascades = cascades_of(problem)
    prices = prices_of(cascades.evaluations)
    arms = arms_of(cascades.evaluations, prices)
    quality, cost = outcomes_by_unit(problem, cascades, arms)
    terms = terms_of(features)
    _require_memory(sum(column.width for column in terms), pool.units)
    matrix, fee = term_matrix(terms, features, pool.units), problem.query.router_cost
    committees = [arm.committee for arm in arms]
    found = [
        router_of(pool, [committees[a] for a in routing.arms], routing, terms, fee)
        for routing in routings(matrix, quality, cost, prices, fee=fee)
    ]
    best = skyline(cascades.evaluations)
    kept = sorted({round(i * (len(best) - 1) / MOST_CASCADES) for i in range(MOST_CASCADES + 1)})
    plain = [best[i].committee for i in kept]
    searched = cascades.searched | {"routers": len(found)}
    return Findings((), cascades.tables, searched, committees=[*plain, *found])


def _require_memory(width: int, units: int) -> None:
    """UsageError if the terms of all units, and their copies without a fold, would not fit into memory."""
    needed, have = 3 * 8 * width * units, machine_memory()
    if needed > MOST_MEMORY * have:
        raise UsageError(
            f"{width:,} terms of features over {units:,} units need {needed / 1e9:.1f} GB, this machine has "
            f"{have / 1e9:.1f}; give fewer features with {option('features', placeholder='FILE')}"
        )


def router_of(pool: Pool, cascades: Sequence[Committee], routing: Routing, terms: Terms, fee: float) -> Committee:
    """The committee of a routing between these cascades, each of whose models is a stage of its own."""
    models = sorted({model for cascade in cascades for model in cascade.models}, key=pool.index)
    place = {model: number for number, model in enumerate(models)}
    parts = []
    for cascade, start, weights in zip(cascades, routing.start, routing.weights, strict=True):
        values: list[float | None] = []
        log_odds: list[float | None] = []
        for stage, (value, odds) in zip(cascade.stages, [*cascade.thresholds.pairs, (None, None)], strict=True):
            run_on = [None] * (len(stage) - 1)
            values += [*run_on, value]
            log_odds += [*run_on, odds]
        stages = tuple(place[model] for model in cascade.models)
        numbers = tuple(short(weight) for weight in weights.tolist())
        parts.append(Part(stages, tuple(values[:-1]), tuple(log_odds[:-1]), short(float(start)), numbers))
    costs = {pool.cost.name: fee} if fee else {}
    return committee_of(pool, [[pool.index(model)] for model in models], Router.of(terms, parts, costs))


def short(number: float) -> float:
    """The number, rounded to 7 digits."""
    return float(f"{number:.7g}")


ROUTER = Strategy("router", refuse, run)
