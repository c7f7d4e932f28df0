"""All threshold vectors of all 4680 combinations from ready stage tables, against one vector at a time.

Evaluating 4.1e9 vectors one by one would take days: the opponents run a sample and are quoted per vector.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from benchmarks.bench_tables import problem
from benchmarks.timing import cpu_seconds
from wisecommittee.committees.families import cascade
from wisecommittee.searches.exact.proof import ExactSearch
from wisecommittee.searches.grid.candidates import within_worst_case
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.stages.stage_tables import stage_tables
from wisecommittee.searches.workers.threads import Threads


def numpy_vector(score: np.ndarray, correct: np.ndarray, cost: np.ndarray, thresholds: np.ndarray) -> tuple[int, int]:
    """One cascade of four at one threshold vector."""
    exits = score >= thresholds[:, None]
    stage = np.where(exits.any(axis=0), exits.argmax(axis=0), len(cost) - 1)
    return int(correct[stage, np.arange(correct.shape[1])].sum()), int(cost[stage].sum())


@njit
def loop_vector(score, correct, cost, thresholds):  # type: ignore[no-untyped-def]
    right, spent = 0, 0
    last = cost.size - 1
    for i in range(correct.shape[1]):
        k = 0
        while k < last and score[k, i] < thresholds[k]:
            k += 1
        right += correct[k, i]
        spent += cost[k]
    return right, spent


def run(units: int = 25_000, classes: int = 100) -> list[dict]:
    pool, trie, scored = problem(units, classes)
    tables = stage_tables(pool, trie, scored, threads=2)
    found = {n: cascade.combinations(pool.cards, n) for n in (1, 2, 3, 4)}
    candidates = within_worst_case(pool, found, None)

    def sweep(threads: int = 1):  # type: ignore[no-untyped-def]
        return GridSearch(pool, tables, candidates, 100).run(Threads(threads))

    sweep()
    ours = cpu_seconds(sweep)
    vectors = sum(len(s) * 100 ** (n - 1) for n, s in found.items())
    rng = np.random.default_rng(0)
    sequence = found[4][1000]
    nodes = [trie.find[tuple(sorted(sequence[:k]))] for k in (1, 2, 3, 4)]
    score = tables.score[tables.score_row[nodes[:3]]]
    correct = tables.correct.rows(nodes).astype(np.int64)
    cost = pool.cost.stages([(int(m),) for m in sequence])
    sample = np.quantile(score, rng.random((200, 3))).astype(np.float32)
    loop_vector(score, correct, cost, sample[0])
    assert all(numpy_vector(score, correct, cost, t) == loop_vector(score, correct, cost, t) for t in sample)
    naive = cpu_seconds(lambda: [numpy_vector(score, correct, cost, t) for t in sample]) / len(sample)
    loop = cpu_seconds(lambda: [loop_vector(score, correct, cost, t) for t in sample]) / len(sample)
    line = {
        "benchmark": "grid: every vector of all combinations, full frontier",
        "units": units,
        "combinations": sum(map(len, found.values())),
        "threshold_vectors": vectors,
        "cpu_seconds": round(ours, 2),
        "ns_per_vector": round(1e9 * ours / vectors, 3),
    }
    return [
        {**line, "opponent": "naive numpy, one vector", "opponent_us_per_vector": round(1e6 * naive, 1),
         "opponent_sampled_vectors": len(sample), "ratio": round(naive * vectors / ours)},
        {**line, "opponent": "plain numba loop, one vector", "opponent_us_per_vector": round(1e6 * loop, 1),
         "opponent_sampled_vectors": len(sample), "ratio": round(loop * vectors / ours)},
    ]  # fmt: skip


def exact() -> list[dict]:
    """The proof over all real thresholds beyond the grid it starts from; ratio: to the CPU time of the grid with 4
    members and as many units."""
    lines = []
    for units, members in ((10_000, 4), (25_000, 3), (25_000, 4)):
        pool, trie, scored = problem(units, 100)
        tables = stage_tables(pool, trie, scored, threads=2)
        every = {n: cascade.combinations(pool.cards, n) for n in (1, 2, 3, 4)}

        def sweep(most: int) -> GridSearch:
            found = {n: sequences for n, sequences in every.items() if n <= most}  # noqa: B023
            grid = GridSearch(pool, tables, within_worst_case(pool, found, None), 100)  # noqa: B023
            grid.run(Threads(1))
            return grid

        grid = sweep(members)
        full = cpu_seconds(lambda: sweep(4), 2)
        ours = cpu_seconds(lambda: ExactSearch(grid, tables).run(Threads(1)), 2)  # noqa: B023
        lines.append(
            {
                "benchmark": f"exact: all real thresholds, {members} members",
                "units": units,
                "cpu_seconds": round(ours, 2),
                "opponent": "the grid of 100 levels, 4 members",
                "opponent_cpu_seconds": round(full, 2),
                "ratio": round(full / ours, 2),
            }
        )
    return lines
