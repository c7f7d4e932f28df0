"""The strategy: what the models of a pool say, a posterior for every set of them, and the committees of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import Route, extended
from wisecommittee.errors import UsageError, counted, option
from wisecommittee.searches.policies.adaptive.states import (
    MOST_CLASSES,
    Fitted,
    Penalties,
    Said,
    best_penalties,
    fitted,
    folds_of,
    sets_of,
)
from wisecommittee.searches.policies.adaptive.sweep import policy_of, swept
from wisecommittee.searches.policies.adaptive.values import Steps
from wisecommittee.searches.policies.arrays import member_arrays
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.threads import Watch

MOST_MODELS = 8  # whose sets are all tried
LEAST_UNITS = 30
SEED = 0


def refuse(problem: Problem) -> None:
    """UsageError for a problem without a right answer among labels, or with too little to choose from."""
    policy, pool = option("policy", "adaptive"), problem.pool
    if not pool.task.exact_match:
        raise UsageError(f"{policy} gives answers of its own, which have no grade; choose another policy")
    if len(pool.cards) < 2:
        raise UsageError(f"{policy} with one model, {pool.cards[0].model}; it needs two or more")
    if any(len(card.members) > 1 for card in pool.cards):
        raise UsageError(f"{policy} needs what each model says of each unit; the cards of this store stand for several")
    if pool.units < LEAST_UNITS:
        raise UsageError(f"{policy} with {counted(pool.units, 'unit')}; it is fitted, and needs {LEAST_UNITS} or more")


def run(problem: Problem) -> Findings:
    """Fit a posterior for every set of models, and return the committees of a sweep over the price of cost."""
    from threadpoolctl import threadpool_limits

    pool = problem.pool
    said = said_of(pool)
    models = preselected(said, average_costs(pool))
    sets = [tuple(models[m] for m in route) for route in sets_of(len(models), min(problem.max_models, len(models)))]
    steps = steps_of(problem, sets)
    sets = [route for route in sets if route in steps]
    folds = folds_of(pool.units, SEED)
    committees = [committee_of(pool, [[m]], Thresholds()) for (m,) in (route for route in sets if len(route) == 1)]
    watch = Watch("adaptive", len(sets), problem.execution.progress, problem.deadline)
    if any(len(route) > 1 for route in sets):
        # Small products gain nothing from threads of the linear algebra library, and wait for each other on a busy
        # machine; one thread also rounds the same on every machine.
        with threadpool_limits(1, user_api="blas"):
            committees += fitted_committees(pool, said, steps, sets, folds, watch)
    complete = watch.done == len(sets) or len(committees) == len(sets)
    searched = {"combinations": len(sets), "threshold_vectors": 0, "method": "adaptive", "complete": complete}
    return Findings((), None, searched | {"certified": False, "exact": False}, committees=committees)


def fitted_committees(
    pool: Pool, said: Said, steps: Steps, sets: list[Route], folds: NDArray[np.int64], watch: Watch
) -> list[Committee]:
    """The committees of a sweep, without those that decide alike on the units of the fit; after a stop, of the sets
    that are fitted by then, the smallest first."""
    states: dict[Route, Fitted] = {}
    of_size: dict[int, Penalties] = {}
    for route in sets:
        if len(route) not in of_size:
            of_size[len(route)] = best_penalties(said, route, folds)
        states[route] = fitted(said, route, of_size[len(route)], folds)
        if not watch.tick():
            break
    steps = _within(states, steps)
    by_answer = any(penalties.corrections is not None for penalties in of_size.values())
    values, figures = swept(states, steps, folds, by_answer=by_answer)
    found, alike = [], set()
    for price, each in enumerate(figures):
        key = each.cost, each.quality
        if key not in alike:
            alike.add(key)
            members, policy = policy_of(said, states, steps, values, price, each)
            found.append(committee_of(pool, [[m] for m in members], policy))
    return found


def _within(states: Mapping[Route, Fitted], steps: Steps) -> Steps:
    """The steps between sets that are fitted."""
    kept = {route: ahead for route, ahead in steps.items() if not route or route in states}
    return {
        route: {m: cost for m, cost in ahead.items() if extended(route, m, unordered=True) in states}
        for route, ahead in kept.items()
    }


def said_of(pool: Pool) -> Said:
    """What the models of a pool say of every unit."""
    arrays = member_arrays(pool)
    outputs = None
    if pool.averaged and pool.outputs(0).shape[1] <= MOST_CLASSES:
        outputs = np.stack([pool.log_probabilities(m).T for m in range(len(pool.cards))])
    return Said.of(arrays.prediction, arrays.score, arrays.labels, outputs, ranked=pool.confidence != NO_CONFIDENCE)


def average_costs(pool: Pool) -> NDArray[np.float64]:
    """float64 [M]: the mean cost of each model by itself."""
    return np.array([average_cost(pool, (m,)) for m in range(len(pool.cards))])


def average_cost(pool: Pool, members: Route) -> float:
    """The mean cost of these models, a stage each, over the units."""
    return float(np.mean(pool.cost.stages([(m,) for m in members])[-1])) * float(pool.cost.unit)


def steps_of(problem: Problem, sets: list[Route]) -> Steps:
    """{set: {next model: its mean cost after the set}} of the sets within the worst case, the empty set among them."""
    pool, limit = problem.pool, problem.query.max_worst_cost
    ceiling = math.inf if limit is None else pool.cost.ceiling(limit)
    kept = [route for route in sets if pool.cost.worst(np.array(route, np.int64)) <= ceiling]
    costs = {(): 0.0} | {route: average_cost(pool, route) for route in kept}
    out: dict[Route, dict[int, float]] = {route: {} for route in costs}
    for route in kept:
        for member in route:
            before = tuple(m for m in route if m != member)
            out[before][member] = costs[route] - costs[before]
    return out


def preselected(said: Said, cost: NDArray[np.float64]) -> list[int]:
    """The models whose sets are tried: all, or MOST_MODELS of them.

    First those that no cheaper model equals in accuracy, the most accurate ones; then, one by one, the model that is
    most often right per cost where every chosen model is wrong.
    """
    right = said.answers == said.truth
    if len(right) <= MOST_MODELS:
        return list(range(len(right)))
    accuracy = right.mean(axis=1)
    order = sorted(range(len(right)), key=lambda m: (cost[m], -accuracy[m]))
    best = [m for place, m in enumerate(order) if all(accuracy[m] > accuracy[other] for other in order[:place])]
    chosen = best[-MOST_MODELS:]
    while len(chosen) < MOST_MODELS:
        wrong = ~right[chosen].any(axis=0)
        gain = (right & wrong).mean(axis=1) / np.maximum(cost, 1e-12)
        chosen.append(max((m for m in order if m not in chosen), key=lambda m: gain[m]))
    return sorted(chosen)


def work(problem: Problem) -> float:
    """As of Strategy: with folds, 15,000 units of four models take some minutes."""
    models = min(len(problem.pool.cards), MOST_MODELS)
    sets = sum(math.comb(models, size) for size in range(1, min(problem.max_models, models) + 1))
    return sets * (2e8 + 1e5 * problem.pool.units)


ADAPTIVE = Strategy("adaptive", refuse, run, work=work)
