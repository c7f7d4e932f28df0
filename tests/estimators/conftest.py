"""Digits, and three classifiers of rising cost that are quick to fit."""

from __future__ import annotations

import pickle

import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from wisecommittee import CommitteeClassifier

COSTS = {"tree": 1, "nb": 2, "knn": 20}


@pytest.fixture(scope="session")
def digits():
    """(X, X of others, y, y of others): 300 samples to fit and 600 others."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, train_size=300, test_size=600, random_state=0, stratify=y)


def committee(**options) -> CommitteeClassifier:
    estimators = [
        ("tree", DecisionTreeClassifier(max_depth=8, random_state=0)),
        ("nb", GaussianNB()),
        ("knn", KNeighborsClassifier(5)),
    ]
    return CommitteeClassifier(estimators, COSTS, **{"levels": 20, "cv": 3, "random_state": 0, **options})


@pytest.fixture
def asked():
    """asked(max_cost=5): a classifier that is not fitted."""
    return committee


@pytest.fixture(scope="session")
def kept(digits):
    X, _, y, _ = digits
    return pickle.dumps(committee(max_cost=5).fit(X, y))


@pytest.fixture
def fitted(kept):
    """A classifier with max_cost=5, fitted to the digits."""
    return pickle.loads(kept)
