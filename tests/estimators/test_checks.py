"""scikit-learn's checks of estimators."""

from __future__ import annotations

from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from wisecommittee import CommitteeClassifier

TREES = [
    ("stump", DecisionTreeClassifier(max_depth=1, random_state=0)),
    ("tree", DecisionTreeClassifier(max_depth=4, random_state=0)),
]


@parametrize_with_checks([CommitteeClassifier(TREES, {"stump": 1, "tree": 4}, cv=2, levels=4)])
def test_of_scikit_learn(estimator, check):
    check(estimator)
