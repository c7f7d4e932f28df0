"""What `fit` of a committee of estimators computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, assert_all_finite, check_random_state, indexable
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from wisecommittee.errors import UsageError
from wisecommittee.estimators.members import (
    COST,
    SPLIT,
    Members,
    fitted,
    left_out_probabilities,
    measured_costs,
    require_probabilities,
    stated_costs,
    store_of,
)
from wisecommittee.searches.every_budget import EveryBudget, choose_within_every_budget
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import FOLDS, Selection
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.store.groups import write_groups
from wisecommittee.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from wisecommittee.estimators.committee_classifier import CommitteeClassifier

GROUPS = "groups"


class Fit(NamedTuple):
    """classes : [C]; members : fitted to all samples, by name; costs : of a sample, by name."""

    classes: NDArray[Any]
    members: Bunch
    costs: dict[str, float]
    every_budget: EveryBudget


def fit_committee(asked: CommitteeClassifier, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Fit:
    """Fit the estimators of a classifier, whose parameters are read, and choose committees of them."""
    X, y = indexable(X, column_or_1d(y, warn=True))
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    members = {name: estimator for name, estimator in asked.estimators if not isinstance(estimator, str)}
    require_probabilities(members)
    query = _query(asked)  # options and costs that are not valid are refused before anything is fitted
    names = [name for name, _ in asked.estimators]
    costs = None if asked.costs is None else stated_costs(asked.costs, members, names)
    known = {name: value for name, value in fit_params.items() if value is not None}
    routed = _routed(asked, members, known)
    groups = routed.splitter.split.get(GROUPS)
    if asked.cv == "prefit":
        done, classes = members, _common_classes(members)
        outputs = {name: estimator.predict_proba(X) for name, estimator in members.items()}
    else:
        classes = _classes(y)
        params = {name: routed[name].fit for name in members}
        done = fitted(members, X, y, params, asked.n_jobs)
        cv = check_cv(asked.cv, y=y, classifier=True)
        splits = list(cv.split(X, y, **routed.splitter.split))
        outputs = left_out_probabilities(members, X, y, splits, params, asked.n_jobs)
    costs = measured_costs(done, X) if costs is None else costs
    store = store_of(outputs, _numbers(y, classes), costs)
    return Fit(classes, Bunch(**done), costs, _chosen(asked, query, store, groups))


def _query(asked: CommitteeClassifier) -> Query:
    return Query(
        split=SPLIT,
        max_models=asked.max_models,
        levels=asked.levels,
        policy=asked.policy,
        confidence=asked.confidence,
        combine=asked.combine,
        cost=COST,
        replicas="all",
    )


def _chosen(asked: CommitteeClassifier, query: Query, store: MemoryStore, groups: Any) -> EveryBudget:
    """The choice within every budget. groups : [n] of the samples, or None."""
    parts = len(store.labels(SPLIT))
    if groups is not None:
        write_groups(store, SPLIT, store.unit_ids(SPLIT), {GROUPS: list(map(str, groups))})
        parts = len(set(groups))
    selection = Selection(
        folds=None if parts >= 2 * FOLDS else parts // 2 if parts >= 4 else 0,
        group_by=None if groups is None else GROUPS,
        seed=int(check_random_state(asked.random_state).randint(2**31 - 1)),
    )
    execution = Execution(threads=effective_n_jobs(asked.n_jobs))
    return choose_within_every_budget(store, query, execution, selection)


def _routed(asked: CommitteeClassifier, members: Members, given: Mapping[str, Any]) -> Bunch:
    """Bunch of {member: Bunch(fit=..)} and splitter=Bunch(split=..): where the parameters of `fit` go."""
    if get_config().get("enable_metadata_routing", False):
        return process_routing(asked, "fit", **given)
    if unknown := [name for name in given if name != "sample_weight"]:
        raise TypeError(
            f"fit: unexpected {', '.join(unknown)}; expected sample_weight, or metadata routing enabled with "
            f"sklearn.set_config(enable_metadata_routing=True)"
        )
    return Bunch(**{name: Bunch(fit=dict(given)) for name in members}, splitter=Bunch(split={}))


def _classes(y: NDArray[Any]) -> NDArray[Any]:
    """[C]: the classes of the samples, sorted."""
    classes = np.unique(y)
    if len(classes) < 2:
        shown = ", ".join(map(repr, classes.tolist())) or "none"
        raise UsageError(f"{len(y):,} samples, classes: {shown}; expected samples of two classes or more")
    return classes


def _common_classes(members: Members) -> NDArray[Any]:
    """[C]: the classes of estimators that are fitted already."""
    known: list[tuple[str, NDArray[Any]]] = []
    for name, estimator in members.items():
        check_is_fitted(estimator)
        known.append((name, np.asarray(estimator.classes_)))
        if not np.array_equal(known[0][1], known[-1][1]):
            raise UsageError(
                f"{known[0][0]} and {name} were fitted to other classes, {known[0][1].tolist()} and "
                f"{known[-1][1].tolist()}; expected the same for all estimators"
            )
    return known[0][1]


def _numbers(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """int64 [n]: the number of each sample's class."""
    places = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    if len(unknown := np.flatnonzero(classes[places] != y)):
        strange = y[unknown[:1]].tolist()[0]
        raise UsageError(f"y has the class {strange!r}, which the estimators do not know; they know {classes.tolist()}")
    return places.astype(np.int64)
