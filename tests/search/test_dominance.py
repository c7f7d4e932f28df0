"""No other way to search finds a committee above the proved frontier, on one pool that all of them see."""

from __future__ import annotations

import warnings
from fractions import Fraction
from itertools import permutations

import naive
import numpy as np
import pytest
from pools import MemoryStore

from wisecommittee.searches.search import search

UNITS, CLASSES = 120, 4


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, UNITS)
    models = []
    for m, (name, cost) in enumerate([("small", 10), ("medium", 25), ("large", 60), ("huge", 140)]):
        logits = rng.standard_normal((UNITS, CLASSES)).round(1).astype(np.float32)
        logits[np.arange(UNITS), labels] += np.float32(0.9 + 0.4 * m)
        models.append(naive.Model(name, name, 0, {name: cost}, logits))
    return models, labels.tolist()


@pytest.fixture(scope="module")
def best_at(pool):
    """(average cost) -> the most correct answers of the proved frontier at no higher cost."""
    models, labels = pool
    frontier = search(MemoryStore(models, labels), exact=True, max_models=3, threads=1)
    assert frontier.searched["exact"] is True
    points = [(Fraction(round(e.average_cost * UNITS)), e.correct) for e in frontier]
    return lambda total: max((correct for cost, correct in points if cost <= total), default=0)


def counted(members, thresholds, labels):
    """(total cost, number correct) by the oracle's loops."""
    scores = [naive.confidence(members[: k + 1], "mean_logits", "max_prob") for k in range(len(members) - 1)]
    exits = naive.exit_stages(scores, thresholds, UNITS)
    said = [naive.prediction(members[: k + 1], "mean_logits") for k in range(len(members))]
    right = sum(int(said[k][i]) == labels[i] for i, k in enumerate(exits))
    cost = sum(sum(next(iter(m.blocks.values())) for m in members[: k + 1]) for k in exits)
    return cost, right


def test_random_search_stays_below(pool, best_at):
    models, labels = pool
    rng = np.random.default_rng(0)
    equal = 0
    for _ in range(300):
        n = int(rng.integers(1, 4))
        members = [models[i] for i in rng.permutation(len(models))[:n]]
        cost, right = counted(members, rng.uniform(0.3, 1.0, n - 1).tolist(), labels)
        assert right <= best_at(cost)
        equal += right == best_at(cost)
    assert equal  # so that the comparison is not an empty one


def test_greedy_stays_below(pool, best_at):
    models, labels = pool
    found = search(MemoryStore(models, labels), method="greedy", max_models=3, threads=1)
    assert len(found)
    for e in found:
        assert e.correct <= best_at(Fraction(round(e.average_cost * UNITS)))


def test_scikit_fallback_stays_below_once_it_is_charged_for_all_that_ran(pool, best_at):
    """Its thresholds over every pair, counted with every model a unit ran; its own cost leaves the earlier ones out."""
    skfb = pytest.importorskip("skfb.ensemble")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Cached(ClassifierMixin, BaseEstimator):
        def __init__(self, probabilities=None):
            self.probabilities = probabilities

        def fit(self, x, y):
            self.classes_ = np.arange(CLASSES)
            return self

        def predict_proba(self, x):
            return self.probabilities[x[:, 0]]

        def predict(self, x):
            return self.predict_proba(x).argmax(axis=1)

    def mean_probabilities(members):
        mean = np.mean([m.outputs for m in members], axis=0)
        e = np.exp(mean - mean.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    models, labels = pool
    rows = np.arange(UNITS)[:, None]
    forgotten = 0
    for first, second in permutations(models, 2):
        stages = [Cached(mean_probabilities([first])), Cached(mean_probabilities([first, second]))]
        costs = [float(next(iter(m.blocks.values()))) for m in (first, second)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cascade = skfb.ThresholdCascadeClassifierCV(stages, costs=costs, cv=2, cv_thresholds=6)
            cascade.fit(rows, np.array(labels))
        for thresholds, believed in zip(cascade.all_cv_thresholds_, cascade.mean_cv_costs_, strict=True):
            cost, right = counted([first, second], [float(thresholds[0])], labels)
            assert right <= best_at(cost)
            forgotten += believed * UNITS < 0.95 * cost
    assert forgotten  # what is said of it above
