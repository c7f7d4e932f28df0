"""A small pool on two splits, for comparing analyses and tables with loops over the definitions."""

from __future__ import annotations

import itertools

import naive
import numpy as np
from pools import MemoryStore, TwoSplits

from wisecommittee.analyses.study import study_of

LEVELS = 6
COMBINE, CONFIDENCE = "mean_logits", "max_prob"


class Case:
    """The models of both splits for the oracle, and the study of the same."""

    def __init__(self, architectures, n=40, seed=0, max_models=3, fields=None, **options):
        """architectures : {name: (replicas, cost, how sharp its outputs are)}; fields : {model: those of its card}"""
        rng = np.random.default_rng(seed)
        self.max_models = max_models
        self.models, self.labels = {}, {}
        for split, size in (("val", n), ("test", n + 10)):
            labels = rng.integers(0, 4, size)
            self.labels[split] = labels.tolist()
            self.models[split] = [
                naive.Model(
                    f"{name}/{r}", name, r, {f"{name}/{r}": cost},
                    (rng.normal(size=(size, 4)) + sharp * np.eye(4)[labels]).astype(np.float32),
                )
                for name, (replicas, cost, sharp) in architectures.items()
                for r in range(replicas)
            ]  # fmt: skip
        stores = {s: MemoryStore(self.models[s], self.labels[s], s) for s in ("val", "test")}
        for store in stores.values():
            store.fields = fields or {}
        self.store = TwoSplits(stores["val"], stores["test"])
        self.study = study_of(self.store, max_models=max_models, levels=LEVELS, threads=1, **options)

    def named(self, split, name):
        return next(m for m in self.models[split] if m.name == name)

    def evaluate(self, split, stages, thresholds=()):
        """(quality, average cost, worst case, exit ratios) by the oracle."""
        members = [[self.named(split, m) for m in stage] for stage in stages]
        r = naive.evaluate(members, thresholds, self.labels[split], COMBINE, CONFIDENCE)
        n = len(self.labels[split])
        return r.correct / n, r.total_cost / n, float(r.worst_case), tuple(e / n for e in r.exits)

    def search(self, only=None, max_models=None, **options):
        """The oracle's frontier on val: [(correct, total cost, stages, thresholds)]."""
        models = [m for m in self.models["val"] if only is None or m.architecture == only]
        size = min(max_models or self.max_models, len(models))
        points = naive.search(models, self.labels["val"], size, LEVELS, COMBINE, CONFIDENCE, **options)
        return [(p.correct, p.total_cost, p.stages, tuple(map(float, p.thresholds))) for p in points]


def cheapest(points, correct):
    """The first of a frontier with at least so many correct."""
    return next(p for p in points if p[0] >= correct)


def most_accurate(points, cost):
    return [p for p in points if p[1] <= cost][-1]


def figures(evaluation):
    e = evaluation
    return e.quality, e.average_cost, e.worst_case_cost, e.exit_ratios


def rows(made):
    """The rows of a table as dicts, by the names of its columns."""
    names = [c.name for c in made.columns]
    return [dict(zip(names, row, strict=True)) for row in made.rows]


def ordered(case, split, sequence):
    """correct [K][N], confidence [K - 1][N] and cumulative cost [K] of a sequence of members on a split."""
    models = [case.named(split, m) for m in sequence]
    prefixes = [models[: k + 1] for k in range(len(models))]
    correct = [naive.prefix_correct(p, case.labels[split], COMBINE) for p in prefixes]
    scores = [naive.confidence(p, COMBINE, CONFIDENCE) for p in prefixes[:-1]]
    return correct, scores, [naive.set_cost(p, 0) for p in prefixes]


def every_cascade(case, sequence):
    """(correct, total cost) of a sequence for every vector of real thresholds that differs on val."""
    correct, scores, cost = ordered(case, "val", sequence)
    N = len(case.labels["val"])
    for vector in itertools.product(*([*sorted(set(s)), np.float32(np.inf)] for s in scores)):
        yield naive.tally(naive.exit_stages(scores, vector, N), correct, [[c] * N for c in cost])


def study_of_case(case, **changes):
    """The study of a case with other options."""
    return study_of(case.store, max_models=case.max_models, levels=LEVELS, threads=1, **changes)
