"""Other ways to search, on the same stage tables: does any of their points lie above the proved frontier?

random search      sequences and quantile thresholds drawn uniformly, counted by a numba loop for as long as ours took
greedy             Streeter 2018, `search --method greedy`
scikit-fallback    ThresholdCascadeClassifierCV over every sequence of two, the running mean's probabilities as its
                   estimators. The cost it selects by forgets the models that ran before the one that answers; here its
                   thresholds are charged for everything a unit ran.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks.bench_grid import loop_vector
from benchmarks.bench_tables import problem
from benchmarks.timing import cpu_seconds
from wisecommittee.committees.families import cascade
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.stage_tables import stage_tables

Counts = tuple[int, int]  # (total cost, number correct)


def above(points: Iterable[Counts], frontier: list[Counts]) -> int:
    """Points with more correct than the frontier has at their cost."""
    costs = np.array([cost for cost, _ in frontier])
    best = np.r_[0, np.maximum.accumulate([correct for _, correct in frontier])]
    return sum(correct > best[np.searchsorted(costs, cost, side="right")] for cost, correct in points)


def losses(points: Iterable[Counts], frontier: list[Counts], units: int) -> dict[str, float]:
    """How much less quality the points reach at the cost of each point of the frontier, in percentage points."""
    found = sorted(points)
    costs = np.array([cost for cost, _ in found])
    best = np.r_[0, np.maximum.accumulate([correct for _, correct in found])]
    behind = np.array([correct - best[np.searchsorted(costs, cost, side="right")] for cost, correct in frontier])
    reached = np.array([cost >= costs[0] for cost, _ in frontier])
    return {
        "mean_loss_points": round(100 * float(behind[reached].mean()) / units, 3),
        "largest_loss_points": round(100 * float(behind[reached].max()) / units, 3),
    }


def run(units: int = 10_000, classes: int = 100, members: int = 3) -> list[dict]:
    pool, trie, scored = problem(units, classes)
    tables = stage_tables(pool, trie, scored, threads=2)
    options: dict[str, Any] = {"max_models": members, "threads": 1}
    search(pool.store, exact=True, **options)  # compile
    started = time.process_time()
    ours = search(pool.store, exact=True, **options)
    seconds = time.process_time() - started
    assert ours.searched["exact"]

    def counts(evaluations: Iterable[Any]) -> list[Counts]:
        return sorted((round(e.average_cost * units), e.correct) for e in evaluations)

    frontier = counts(ours)
    line = {"benchmark": f"the proved frontier, up to {members} members", "units": units, "classes": classes}
    lines: list[dict] = [{**line, "points": len(frontier), "cpu_seconds": round(seconds, 2)}]

    def add(opponent: str, spent: float, points: list[Counts], **more: Any) -> None:
        figures = {"opponent_cpu_seconds": round(spent, 2), "ratio": round(spent / seconds, 2)}
        lines.append(
            {**line, "opponent": opponent, **figures, "points_above": int(above(points, frontier)),
             **losses(points, frontier, units), **more}
        )  # fmt: skip

    two = tables.correct.rows([0, 1]).astype(np.int64)
    loop_vector(tables.score[:1], two, np.array([1, 2]), tables.score[0, :1])  # compile
    drawn: list[Counts] = []
    spent = cpu_seconds(lambda: drawn.extend(_random(pool, trie, tables, members, seconds)), 1)
    add("random search, numba loop, as long", spent, drawn, vectors=len(drawn))
    greedy = search(pool.store, method="greedy", **options)
    spent = cpu_seconds(lambda: search(pool.store, method="greedy", **options), 1)
    add("greedy (Streeter 2018)", spent, counts(greedy))
    points, spent, sequences, underpriced = _fallback(pool, trie, tables)
    add(
        "scikit-fallback, every sequence of two, 10 thresholds", spent, points,
        sequences=sequences, its_cost_over_true_cost=round(underpriced, 3),
    )  # fmt: skip
    return lines


def _random(pool: Any, trie: Any, tables: Any, members: int, seconds: float) -> Iterator[Counts]:
    rng = np.random.default_rng(0)
    found = {n: cascade.combinations(pool.cards, n) for n in range(1, members + 1)}
    sizes = np.array([len(found[n]) for n in found])
    ordered = np.sort(tables.score, axis=1)
    stop = time.process_time() + seconds
    while time.process_time() < stop:
        n = 1 + int(rng.choice(members, p=sizes / sizes.sum()))
        sequence = found[n][rng.integers(len(found[n]))]
        nodes = [trie.find[tuple(sorted(sequence[:k]))] for k in range(1, n + 1)]
        rows = tables.score_row[nodes[:-1]]
        thresholds = ordered[rows, rng.integers(0, pool.units, n - 1)]
        cost = pool.cost.stages([(int(m),) for m in sequence])
        right, spent = loop_vector(tables.score[rows], tables.correct.rows(nodes).astype(np.int64), cost, thresholds)
        yield round(pool.cost.true(int(spent))), int(right)


def _fallback(pool: Any, trie: Any, tables: Any) -> tuple[list[Counts], float, int, float]:
    """Its thresholds for every ordered pair, truly charged; CPU seconds; pairs; its own cost over the true one."""
    from skfb.ensemble import ThresholdCascadeClassifierCV
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Cached(ClassifierMixin, BaseEstimator):
        """Stored probabilities; X holds row numbers."""

        def __init__(self, probabilities: Any = None) -> None:
            self.probabilities = probabilities

        def fit(self, x: Any, y: Any) -> Any:
            self.classes_ = np.arange(self.probabilities.shape[1])
            return self

        def predict_proba(self, x: Any) -> Any:
            return self.probabilities[x[:, 0]]

        def predict(self, x: Any) -> Any:
            return self.predict_proba(x).argmax(axis=1)

    def probabilities(models: Any) -> np.ndarray:
        mean = sum(pool.store.outputs(pool.cards[m].model, "val") for m in models) / np.float32(len(models))
        e = np.exp(mean - mean.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    rows = np.arange(pool.units)[:, None]
    labels = pool.labels
    points: list[Counts] = []
    shares, spent = [], 0.0
    sequences = cascade.combinations(pool.cards, 2)
    for sequence in sequences:
        nodes = [trie.find[tuple(sorted(sequence[:k]))] for k in (1, 2)]
        stages = [Cached(probabilities(sequence[:k])) for k in (1, 2)]
        single = [float(sum(pool.cards[m].blocks.values())) for m in sequence]
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ThresholdCascadeClassifierCV(stages, costs=single, cv=2).fit(rows, labels)
        spent += time.process_time() - started
        score, correct = tables.score[tables.score_row[nodes[:1]]], tables.correct.rows(nodes).astype(np.int64)
        cost = pool.cost.stages([(int(m),) for m in sequence])
        for thresholds, believed in zip(model.all_cv_thresholds_, model.mean_cv_costs_, strict=True):
            right, paid = loop_vector(score, correct, cost, np.asarray(thresholds, np.float32)[:1])
            true = pool.cost.true(int(paid))
            points.append((round(true), int(right)))
            shares.append(believed * pool.units / true)
    return points, spent, len(sequences), float(np.mean(shares))
