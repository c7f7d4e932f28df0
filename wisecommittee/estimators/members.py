"""The members of a committee of estimators: their outputs on samples that they were not fitted to, and their costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.fields import check_cost
from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.store.memory_store import MemoryStore

Members: TypeAlias = dict[str, Any]  # estimators by name, without those that are dropped
Splits: TypeAlias = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]  # (samples fitted to, samples left out)

COST = "cost"  # its name in committee.json
SPLIT = "val"  # of the store: the samples that choose
TIMED_SAMPLES, TIMED_RUNS = 1000, 3


def require_probabilities(members: Members) -> None:
    """UsageError for a member without predict_proba."""
    for name, estimator in members.items():
        if not hasattr(estimator, "predict_proba"):
            raise UsageError(
                f"{name}: {type(estimator).__name__} has no predict_proba, and a committee averages and compares "
                f"probabilities; calibrate it, as CalibratedClassifierCV({type(estimator).__name__}(..)) of "
                f"sklearn.calibration does"
            )


def fitted(members: Members, X: Any, y: Any, params: Mapping[str, Mapping[str, Any]], n_jobs: int | None) -> Members:
    """The members, fitted to all samples. params : {member: parameters of its fit}."""
    each = Parallel(n_jobs=n_jobs)(
        delayed(_fit)(name, clone(estimator), X, y, params[name]) for name, estimator in members.items()
    )
    return dict(zip(members, each, strict=True))


def _fit(name: str, estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    try:
        return estimator.fit(X, y, **params)
    except TypeError as error:
        if "unexpected keyword argument 'sample_weight'" in str(error):
            raise TypeError(f"{name}: {type(estimator).__name__} does not support sample weights") from error
        raise


def left_out_probabilities(
    members: Members, X: Any, y: Any, splits: Splits, params: Mapping[str, Mapping[str, Any]], n_jobs: int | None
) -> dict[str, NDArray[np.floating]]:
    """{member: [n, C]}: probabilities of each sample by members that were fitted without it."""
    each = Parallel(n_jobs=n_jobs)(
        delayed(cross_val_predict)(clone(estimator), X, y, cv=splits, method="predict_proba", params=dict(params[name]))
        for name, estimator in members.items()
    )
    return dict(zip(members, each, strict=True))


def stated_costs(costs: Mapping[str, float], members: Members, named: Sequence[str]) -> dict[str, float]:
    """{member: cost of a sample} as given. named : the members and those dropped.

    Raises
    ------
    UsageError
        The cost of a member is missing.
    UnknownNameError
        The cost of something else is given.
    CostError
        A cost is no finite number from 0.
    """
    if not isinstance(costs, Mapping):
        raise UsageError(f"{option('costs', costs)}; expected {{name: number}} with the cost of each estimator")
    if unknown := [name for name in costs if name not in named]:
        raise UnknownNameError("estimator in costs", str(unknown[0]), named)
    if missing := [name for name in members if name not in costs]:
        raise UsageError(f"costs: none for {', '.join(missing)}; give one for each estimator, or costs=None to measure")
    out = {}
    for name in members:
        value = costs[name]
        number = value.item() if isinstance(value, np.generic) else value
        check_cost(number, f"cost of {name}", free=True)
        out[name] = float(number)
    return out


def measured_costs(members: Members, X: Any) -> dict[str, float]:
    """{member: milliseconds of a sample}; members : fitted."""
    return {name: _milliseconds(estimator, X) for name, estimator in members.items()}


def _milliseconds(estimator: Any, X: Any) -> float:
    """Milliseconds of predict_proba for a sample of X, in one call for up to TIMED_SAMPLES of them; the least of
    TIMED_RUNS runs, in three digits."""
    samples = min(TIMED_SAMPLES, X.shape[0] if hasattr(X, "shape") else len(X))
    rows, runs = _safe_indexing(X, np.arange(samples)), []
    for _ in range(TIMED_RUNS):
        started = time.perf_counter()
        estimator.predict_proba(rows)
        runs.append(time.perf_counter() - started)
    return float(f"{1e3 * min(runs) / samples:.3g}")


def store_of(
    outputs: Mapping[str, NDArray[np.floating]], labels: NDArray[np.int64], costs: Mapping[str, float]
) -> MemoryStore:
    """A store of the members' probabilities [n, C]. labels : int64 [n] class numbers."""
    store = MemoryStore()
    for name, rows in outputs.items():
        card = ModelCard(name, kind="probabilities", costs={COST: costs[name]})
        store.add(card, SPLIT, labels=labels, outputs=np.asarray(rows))
    return store
