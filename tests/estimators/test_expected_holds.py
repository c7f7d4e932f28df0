"""Whether what is expected of a committee of estimators holds on samples that had no part in it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from wisecommittee import CommitteeClassifier

SAMPLES, OTHERS, DRAWS = 400, 12_000, 60


def population():
    shape = {"n_informative": 8, "n_redundant": 0, "n_classes": 3, "flip_y": 0.05, "class_sep": 1.2}
    return make_classification(30_000, 20, random_state=1, **shape)


def held(figure, interval, truth):
    """Whether the interval, widened for the truth of OTHERS samples, holds it."""
    wider = math.sqrt(1 + SAMPLES / OTHERS)
    low, high = (figure + wider * (end - figure) for end in interval)
    return low <= truth <= high


@pytest.mark.slow
def test_intervals_hold_almost_as_often_as_they_say():
    X, y = population()
    members = [("nb", GaussianNB()), ("lda", LinearDiscriminantAnalysis()), ("qda", QuadraticDiscriminantAnalysis())]
    rows = {budget: [] for budget in (3, 8, None)}
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(X))
        drawn, others = order[:SAMPLES], order[SAMPLES : SAMPLES + OTHERS]
        fitted = CommitteeClassifier(members, {"nb": 1, "lda": 2, "qda": 20}, random_state=0).fit(X[drawn], y[drawn])
        for budget, each in rows.items():
            expected = fitted.set_params(max_cost=budget).expected_
            quality, cost = fitted.score(X[others], y[others]), fitted.cost(X[others]).mean()
            accurate = held(expected.quality, expected.interval, quality)
            each.append(
                (expected.quality - quality, accurate, held(expected.average_cost, expected.cost_interval, cost))
            )
    for budget, each in rows.items():
        bias, accurate, cheap = np.mean(each, axis=0)
        print(
            f"max_cost {budget!s:4}: expected less truth {100 * bias:+.2f} points; intervals hold the accuracy in "
            f"{100 * accurate:.0f} %, the cost in {100 * cheap:.0f} % of {DRAWS} draws"
        )
        assert -0.02 < bias < 0.01
        assert accurate > 0.8
        assert cheap > 0.65
