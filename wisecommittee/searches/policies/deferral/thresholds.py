"""The thresholds of the gains, swept by the grid like those of any stored score.

The grid knows one score after each set of models; that of a gain depends on the next stage and on who answers, too. So
a stage of the sweep is a triple: who answers, a tier of the pool, and the tier that follows it (or none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.grid.candidates import Candidates, within_worst_case
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.policies.deferral.answers import Answers, Models
from wisecommittee.searches.policies.deferral.chains import Chain
from wisecommittee.searches.policies.deferral.gains import Gain, Step
from wisecommittee.searches.stages.correctness import Correctness
from wisecommittee.searches.stages.lookup import StageLookup
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.strategies.problem import Problem
from wisecommittee.searches.workers.threads import Mapper

NONE = -1  # in place of the tier that follows the last
Rows = dict[tuple[int, Chain], list[int]]  # {(who answers, chain): the stages of the sweep}


@dataclass(frozen=True, slots=True)
class Learned:
    """Who answers for some chains, and the gain of every step of these."""

    chains: Sequence[Chain]
    answers: Answers
    gains: Mapping[Step, Gain]


@dataclass(frozen=True, slots=True)
class Point:
    """thresholds : float32 numbers, levels of the scores after all stages of the chain but the last; infinity: no unit
    exits."""

    learned: Learned
    chain: Chain
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a grid reads of stage tables (StageTables)."""

    score: NDArray[np.float32]
    lookup: StageLookup


def steps_of(pool: Pool, chains: Sequence[Chain]) -> list[Step]:
    """The distinct steps of chains."""
    after = {(chain[:k], chain[: k + 1]) for chain in chains for k in range(1, len(chain))}
    return sorted((pool.members(now), pool.members(later)) for now, later in after)


def best_thresholds(problem: Problem, learned: Sequence[Learned], mapper: Mapper) -> tuple[list[Point], int]:
    """The points on the frontier of all vectors of levels of all chains, by rising cost and quality on units that the
    gains were not fitted to; and how many chains a stop has left unfinished."""
    pool = problem.pool
    number: dict[tuple[int, int, int], int] = {}
    rows: Rows = {
        (a, chain): [number.setdefault((a, *pair), len(number)) for pair in zip(chain, (*chain[1:], NONE), strict=True)]
        for a, each in enumerate(learned)
        for chain in each.chains
    }
    tiers = pool.tiers or tuple((m,) for m in range(len(pool.cards)))
    triples, levels, threads = list(number), problem.query.levels, problem.execution.thread_count
    swept = replace(
        pool,
        tiers=tuple(tiers[tier] for _, tier, _ in triples),
        cost=pool.cost.of([[tier] for _, tier, _ in triples]),
        confidence="gain",
    )
    sweep = GridSearch(swept, _scores(pool, rows, learned), _candidates(swept, rows), levels, threads=threads)
    unfinished = sweep.run(mapper)
    points = []
    for sequence, thresholds in sweep.points():
        chain = tuple(triples[v][1] for v in sequence)
        points.append(Point(learned[triples[sequence[0]][0]], chain, thresholds))
    return points, len(unfinished)


def _candidates(pool: Pool, rows: Rows) -> list[Candidates]:
    sizes = sorted({len(row) for row in rows.values()})
    by_size = {size: np.array(sorted(row for row in rows.values() if len(row) == size), np.int64) for size in sizes}
    return within_worst_case(pool, by_size, None)


def _scores(pool: Pool, rows: Rows, learned: Sequence[Learned]) -> Scores:
    """The score and the correctness after every beginning of the sequences of the sweep."""
    nodes: dict[tuple[int, ...], tuple[int, Models, Models | None]] = {}
    for (a, chain), row in rows.items():
        for size in range(1, len(chain) + 1):
            later = pool.members(chain[: size + 1]) if size < len(chain) else None
            nodes.setdefault(tuple(sorted(row[:size])), (a, pool.members(chain[:size]), later))
    correct = Correctness.empty(len(nodes), pool.units, pool.task.scale)
    score_rows, scores = np.full(len(nodes), -1), list[NDArray[np.float32]]()
    for node, (a, now, later) in enumerate(nodes.values()):
        correct.put(node, learned[a].answers.of(now).worth)
        if later is not None:
            score_rows[node] = len(scores)
            scores.append(learned[a].gains[now, later].score)
    score = np.array(scores, np.float32).reshape(len(scores), pool.units)
    find = {key: node for node, key in enumerate(nodes)}
    return Scores(score, StageLookup(None, find, score_rows, correct, False, False))
