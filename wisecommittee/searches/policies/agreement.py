"""The search for policies by which units exit once enough members agree (committees/policies/agreement.py).

Every sequence of a few models is a chain, whose rules by number of votes are fitted over a sweep of prices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.agreement import Agreement, count_votes
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import ALWAYS, NO_TEXT
from wisecommittee.committees.scale import LEAST
from wisecommittee.errors import UsageError, option
from wisecommittee.kernels.rules.known import NEVER, Known
from wisecommittee.searches.policies.arrays import MemberArrays, member_arrays
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.rules.considered import count_sequences, sequences
from wisecommittee.searches.policies.rules.findings import findings, require_trees
from wisecommittee.searches.policies.rules.fitting import Fitted, Fitting
from wisecommittee.searches.policies.rules.prices import Priced, sweep
from wisecommittee.searches.policies.rules.said import Said, ranked, threshold
from wisecommittee.searches.policies.rules.trees import Members, Tree
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.threads import Watch

MOST_MEMBERS = 4  # of a committee
PRICES, FINAL_PRICES = 7, 24  # the least at which chains are compared, and of the sweep of the best
MORE_PRICES = 4  # beyond the number of models: chains of a large pool are compared at more prices
BEST = 3  # chains that are kept, at each price
ENOUGH = 4000  # units that tell which chains are best
SHRINKAGE = 1.0  # enough to give numbers of votes that no unit has the rule of all units


def run(problem: Problem) -> Findings:
    pool = problem.pool
    alone = member_arrays(pool, threads=problem.execution.thread_count)
    best = sorted(range(alone.models), key=lambda m: (-alone.worth[m].mean(), m))
    chains = sequences(problem, min(problem.max_models, MOST_MEMBERS))
    require_trees(problem, chains)
    kept = _promising(problem, chains, best)
    fitting = _fitting(alone, [chain for chain in chains if chain.routes in kept] or chains, best)
    watch = Watch(Agreement.kind, FINAL_PRICES, problem.execution.progress, problem.deadline)
    found = sweep(lambda price: fitting.best(price, SHRINKAGE), *fitting.ends, FINAL_PRICES, watch.tick)
    committees = [_built(problem, fitting, each.found, best) for each in found]
    return findings(problem, Agreement.kind, len(chains), committees, complete=not watch.stopped)


def refuse(problem: Problem) -> None:
    if problem.pool.task.width > 1:
        raise UsageError(
            f"{option('policy', Agreement.kind)} answers by vote, and {problem.pool.task.measure} counts the pixels of "
            f"single models; leave it out"
        )
    if len(problem.cards) < 2:
        raise UsageError(f"{option('policy', Agreement.kind)} needs at least two models; import another")


def _promising(problem: Problem, chains: Sequence[Tree], best: Sequence[int]) -> set[tuple[Members, ...]]:
    """The routes of the chains that are among the best at some price, on all units or on ENOUGH of them."""
    if (units := problem.pool.units) > ENOUGH:
        problem = problem.of_units(np.arange(ENOUGH) * units // ENOUGH)
        chains = sequences(problem, min(problem.max_models, MOST_MEMBERS))
    fitting = _fitting(member_arrays(problem.pool), chains, best)
    ranked: dict[float, list[Priced[Fitted]]] = {}

    def best_at(price: float) -> Priced[Fitted]:
        return ranked.setdefault(price, fitting.ranked(price, SHRINKAGE))[0]

    sweep(best_at, *fitting.ends, max(PRICES, len(best) + MORE_PRICES))
    return {each.found.tree.routes for line in ranked.values() for each in line[:BEST]}


def _fitting(alone: MemberArrays, chains: Sequence[Tree], best: Sequence[int]) -> Fitting:
    """What members say after every route of the chains. A unit that exits early takes the newest of the most frequent
    answers, after the last stage that of the best member."""
    keys = [[(route, route == chain.routes[-1]) for route in chain.routes] for chain in chains]
    distinct = list(dict.fromkeys(key for line in keys for key in line))
    row = {key: number for number, key in enumerate(distinct)}
    rank, order = ranked(alone.score, alone.scale)
    votes, quality = zip(
        *(_voted(alone, route, best if last else route[::-1]) for route, last in distinct), strict=True
    )
    newest = [route[-1] for route, _ in distinct]
    rank, order = rank[newest], order[newest]
    for line, (route, _) in enumerate(distinct):
        if (silent := _silent(alone, route)).any():
            rank[line, silent] = NEVER
            order[line] = np.argsort(rank[line], kind="stable")
    known = Known(rank, np.stack(votes), order, np.stack(quality))
    said = Said({}, known, alone.score[newest], np.arange(1, MOST_MEMBERS + 1), alone.scale)
    return Fitting(said, chains, [np.array([row[key] for key in line], np.int32) for line in keys])


def _silent(alone: MemberArrays, route: Members) -> NDArray[np.bool_]:
    """bool [N]: units that no member of a route answered, and that no confidence of the newest lets exit."""
    if alone.prediction.dtype.kind != "U":
        return np.zeros(alone.units, bool)
    score, silent = alone.score[route[-1]], (alone.prediction[list(route)] == NO_TEXT).all(axis=0)
    return silent & (score == np.float32(LEAST)) if score.any() else silent


def _voted(
    alone: MemberArrays, route: Members, preferred: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(votes, quality) of every unit.

    votes : int32 [N], of the most frequent answer, less 1; 0 without an answer. quality : float64 [N], how right
    the first of the most frequent answers is, in the order `preferred`.
    """
    order = [m for m in preferred if m in route]
    votes = count_votes([*alone.prediction[order]])
    quality = np.take_along_axis(alone.worth[order], votes.argmax(axis=0)[None], axis=0)[0]
    return np.maximum(votes.max(axis=0) - 1, 0).astype(np.int32), quality


def _built(problem: Problem, fitting: Fitting, fitted: Fitted, best: Sequence[int]) -> Committee:
    """The committee of a chain; stages that no unit reaches are left out."""
    said, lines, odds, members = fitting.said, list[tuple[float | None, ...]](), list[tuple[float | None, ...]](), []
    rows = fitting.rows[fitting.trees.index(fitted.tree)]
    for number, (route, row) in enumerate(zip(fitted.tree.routes, rows, strict=True)):
        members.append(route[-1])
        if number == len(rows) - 1:
            break
        reached, group = fitted.route >= number, said.known.group[row]
        pairs = [threshold(said, row, reached & (group == g), fitted.level[number, g]) for g in range(len(route))]
        if all(value == ALWAYS for value, _ in pairs) and not (said.known.rank[row][reached] == NEVER).any():
            break
        lines.append(tuple(value for value, _ in pairs))
        odds.append(tuple(number for _, number in pairs))
    cards = problem.cards
    policy = Agreement(
        tuple(lines),
        tuple(cards[m].model for m in best if m in members),
        tuple(odds) if any(number is not None for line in odds for number in line) else (),
    )
    return committee_of(problem.pool, [[m] for m in members], policy if lines else Thresholds())


def work(problem: Problem) -> float:
    """As of Strategy."""
    return 700.0 * count_sequences(len(problem.cards), min(problem.max_models, MOST_MEMBERS)) * problem.pool.units


AGREEMENT = Strategy(Agreement.kind, refuse, run, work=work)
