"""Searches of parts of the units equal searches of stores that hold only these units."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, with_further_costs

from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.folds import make_folds
from wisecommittee.searches.methods import strategy_for
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import solve
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.workers.execution import Execution


def of_units(pool, rows):
    """The same pool on these units."""
    models, labels = pool

    def taken(values):
        return None if values is None else [values[i] for i in rows]

    kept = [
        replace(
            m,
            outputs=None if m.outputs is None else m.outputs[rows],
            answers=taken(m.answers),
            stored_scores={name: taken(values) for name, values in m.stored_scores.items()},
            unit_costs=taken(m.unit_costs),
        )
        for m in models
    ]
    return kept, taken(labels)


def searched(store, query):
    problem = pose(store, query, Execution(threads=1))
    return solve(problem, strategy_for(problem))


ASKED = [
    {},
    {"axis": "worst"},
    {"axis": "p99"},
    {"exact": True},
    {"shared_threshold": True},
    {"method": "beam"},
    {"method": "greedy"},
    {"replicas": "all", "combine": "mean_probs"},
    {"family": "ensemble"},
    {"confidence": "neg_entropy", "max_percentile_cost": (80, 9)},
    {"confidence": "confidence", "max_average": {"latency_ms": 6}},
    {"combine": "last"},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
@given(data=st.data())
@cases(12)
def test_a_search_of_a_part_equals_that_of_a_store_with_these_units_only(asked, data):
    constant = asked.keys() & {"axis", "max_percentile_cost"}
    pool = with_further_costs(data.draw(pools(per_unit=False if constant else None)))
    units = len(pool[1])
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, units - 1), min_size=1))))
    query = Query(levels=5, max_models=3, **asked)
    try:
        whole = searched(MemoryStore(*pool), query)
    except InfeasibleError:
        return
    problem = replace(whole.problem, tables=whole.tables)
    try:
        expected = searched(MemoryStore(*of_units(pool, rows)), query).frontier
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            solve(problem.of_units(rows), whole.strategy)
        return
    part = solve(problem.of_units(rows), whole.strategy).frontier
    assert part.evaluations == expected.evaluations
    assert part.singles == expected.singles


@given(data=st.data())
@cases(30)
def test_a_limit_on_the_dearest_unit_is_that_of_the_part(data):
    pool = data.draw(pools(per_unit=True))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(pool[1]) - 1), min_size=1))))
    query = Query(levels=4, max_models=3, max_worst_cost=data.draw(st.integers(1, 8)))
    try:
        whole = searched(MemoryStore(*pool), query)
        expected = searched(MemoryStore(*of_units(pool, rows)), query).frontier
    except InfeasibleError:
        return
    part = solve(replace(whole.problem, tables=whole.tables).of_units(rows), whole.strategy).frontier
    assert part.evaluations == expected.evaluations


def test_folds_are_stratified_and_pool_rare_classes():
    labels = np.repeat(np.arange(12), [100, 50, 30, *[1] * 9])
    folds = make_folds(labels, 10, seed=3)
    for label, each in ((0, 10), (1, 5), (2, 3)):
        assert np.bincount(folds[labels == label], minlength=10).tolist() == [each] * 10
    sizes = np.bincount(folds, minlength=10)
    assert sizes.max() - sizes.min() <= 1
    assert (make_folds(labels, 10, seed=3) == folds).all()
    assert (make_folds(labels, 10, seed=4) != folds).any()


def test_folds_do_not_divide_groups():
    together = np.repeat(np.arange(9), 7)
    folds = make_folds(np.zeros(63), 3, seed=0, together=together)
    assert [len(set(folds[together == g])) for g in range(9)] == [1] * 9
    assert np.bincount(folds).tolist() == [21] * 3


def test_levels_of_a_part_are_its_order_statistics():
    """The oracle's levels of the part's confidences, not those of all units."""
    rng = np.random.default_rng(0)
    models = [
        naive.Model(name, name, 0, blocks={name: cost}, outputs=rng.normal(size=(40, 3)).astype(np.float32))
        for name, cost in (("a", 1), ("b", 3))
    ]
    pool = models, rng.integers(0, 3, 40).tolist()
    rows = np.arange(0, 40, 3)
    whole = searched(MemoryStore(*pool), Query(levels=4))
    part = solve(replace(whole.problem, tables=whole.tables).of_units(rows), whole.strategy).frontier
    kept, labels = of_units(pool, rows)
    points = naive.search(kept, labels, 4, 4)
    assert [(round(e.average_cost * len(rows)), int(e.correct)) for e in part] == [
        (p.total_cost, p.correct) for p in points
    ]
