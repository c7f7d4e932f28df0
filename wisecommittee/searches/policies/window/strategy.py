"""The search for windows: two thresholds a stage, on the probability of the positive class
(committees/policies/window.py).

Every sequence of a few models is a chain, whose windows are fitted over a sweep of prices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policies.window import Window
from wisecommittee.errors import UsageError, option
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.rules.considered import count_sequences, sequences
from wisecommittee.searches.policies.rules.findings import findings, require_trees
from wisecommittee.searches.policies.rules.prices import sweep
from wisecommittee.searches.policies.rules.said import Said, said_after
from wisecommittee.searches.policies.rules.trees import price_ends
from wisecommittee.searches.policies.window.fitting import POSITIVE, Fitting, Windows
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.threads import Watch

MOST_MEMBERS = 4  # of a committee
PRICES, FINAL_PRICES = 7, 50  # at which chains are compared, and of the sweep of the best
BEST = 3  # chains that are kept, at each price

Border = tuple[float | None, float | None]


def run(problem: Problem) -> Findings:
    pool = problem.pool
    chains = sequences(problem, min(problem.max_models, MOST_MEMBERS))
    require_trees(problem, chains)
    routes = sorted({route for chain in chains for route in chain.routes})
    said = said_after(pool, routes, threads=problem.execution.thread_count)
    fitting = Fitting(said, pool.averaged)
    ends = price_ends(chains, pool.units)
    coarse = sweep(lambda price: fitting.ranked(chains, price)[0], *ends, PRICES)
    kept = list(dict.fromkeys(e.found.chain for p in coarse for e in fitting.ranked(chains, p.price)[:BEST]))
    watch = Watch(Window.kind, FINAL_PRICES, problem.execution.progress, problem.deadline)
    found = sweep(lambda price: fitting.ranked(kept, price)[0], *ends, FINAL_PRICES, watch.tick)
    committees = [_built(problem, said, each.found) for each in found]
    return findings(problem, Window.kind, len(chains), committees, complete=not watch.stopped)


def refuse(problem: Problem) -> None:
    pool, policy = problem.pool, option("policy", Window.kind)
    classes = problem.cards[0].contents.classes if pool.averaged else len(np.unique(pool.labels))
    if classes is not None and classes > 2:
        raise UsageError(f"{policy} is for two classes, and these are {classes}; choose {option('policy', 'labels')}")
    if pool.averaged and pool.confidence_name != "max_prob":
        raise UsageError(
            f"{policy} needs the probability of a class, and {pool.confidence_name} is none; leave "
            f"{option('confidence')} out, or choose {option('policy', 'labels')}"
        )


def _built(problem: Problem, said: Said, windows: Windows) -> Committee:
    """The committee of these windows; stages that no unit reaches are left out."""
    pool, chain, signed = problem.pool, windows.chain, problem.pool.averaged
    lows, highs = list[Border](), list[Border]()
    for k, route in enumerate(chain.routes[:-1]):
        row, reached, on = said.row[route], windows.stage >= k, windows.stage > k
        if not on.any():
            break
        score, likely = said.score[row], np.ones(pool.units, bool)
        unlikely = -score
        if signed:
            likely, unlikely = said.labels[said.known.group[row]] == POSITIVE, score
        highs.append(_border(said, score, on & likely, reached & windows.high[k]))
        value, odds = _border(said, unlikely, on & (~likely if signed else likely), reached & windows.low[k])
        lows.append((None if value is None else 1 - value if signed else 0.0 - value, None if odds is None else -odds))
    policy = Window(
        tuple(value for value, _ in lows),
        tuple(value for value, _ in highs),
        POSITIVE if signed else None,
        tuple(odds for _, odds in lows) if any(odds is not None for _, odds in lows) else (),
        tuple(odds for _, odds in highs) if any(odds is not None for _, odds in highs) else (),
    )
    members = chain.routes[-1][: len(lows) + 1]
    return committee_of(pool, [[m] for m in members], policy if lows else Thresholds())


def _border(said: Said, score: NDArray[np.float32], on: NDArray[np.bool_], exits: NDArray[np.bool_]) -> Border:
    """The threshold, and its log-odds or None, midway between the units that go on and those that exit above them."""
    if not exits.any():
        return None, None
    return said.scale.between(score[on].max(), score[exits].min()) if on.any() else (0.5, None)


def work(problem: Problem) -> float:
    """As of Strategy."""
    return 400.0 * count_sequences(len(problem.cards), min(problem.max_models, MOST_MEMBERS)) * problem.pool.units


WINDOW = Strategy(Window.kind, refuse, run, work=work)
