"""The exact mode against brute force over every distinct threshold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import MemoryStore, cases, pools
from test_search import product_scores

from wisecommittee.errors import UsageError
from wisecommittee.search import tables
from wisecommittee.search.evaluate import evaluate_in
from wisecommittee.search.search import search
from wisecommittee.search.sequences import GivenSequences

CASES = cases(150)


def check_against_brute_force(models, labels, *, max_models, levels, combine, confidence, replicas="canonical"):
    """As many levels as units plus one are all distinct confidences and +inf: the oracle then tries every threshold."""
    store = MemoryStore(models, labels)
    options = {"combine": combine, "confidence": confidence}
    pool = tables.open_pool(store, "val", store.cards("val"), **options)
    frontier = search(store, max_models=max_models, levels=levels, exact=True, threads=1, replicas=replicas, **options)
    n = len(labels)
    expected = naive.search(
        models, labels, max_models, n + 1, combine, confidence, replicas, scores=product_scores(pool)
    )
    assert [(e.correct, e.average_cost) for e in frontier] == [
        (p.correct, float(Fraction(p.total_cost, n))) for p in expected
    ]
    assert evaluate_in(pool, [e.committee for e in frontier]) == list(frontier)
    assert frontier.searched["exact"] is True
    again = search(store, max_models=max_models, levels=2, exact=True, threads=3, replicas=replicas, **options)
    assert [e.figures() for e in again] == [e.figures() for e in frontier]


@CASES
@given(
    pools(),
    st.integers(1, 3),
    st.integers(2, 6),
    st.sampled_from(["max_prob", "logit_gap", "confidence"]),
)
def test_exact_equals_brute_force(pool, max_models, levels, confidence):
    check_against_brute_force(*pool, max_models=max_models, levels=levels, combine="mean_logits", confidence=confidence)


@CASES
@given(pools("answers"), st.integers(2, 3), st.integers(2, 4))
def test_exact_answers_equal_brute_force(pool, max_models, levels):
    check_against_brute_force(*pool, max_models=max_models, levels=levels, combine="last", confidence="confidence")


@pytest.mark.parametrize("per_unit", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_exact_four_members_equal_brute_force(seed, per_unit):
    rng = np.random.default_rng(seed)
    units = 9
    labels = rng.integers(0, 3, units).tolist()
    models = [
        naive.Model(
            f"m{m}",
            f"m{m}",
            0,
            {f"m{m}": int(rng.integers(1, 6))},
            rng.integers(-2, 3, (units, 3)).astype("f4"),
            unit_costs=rng.integers(0, 6, units).tolist() if per_unit else None,
        )
        for m in range(4)
    ]
    check_against_brute_force(models, labels, max_models=4, levels=4, combine="mean_logits", confidence="max_prob")


@CASES
@given(pools(), st.integers(2, 3))
def test_given_sequences_are_exact_whatever_their_costs(pool, longest):
    models, labels = pool
    store, n = MemoryStore(models, labels), len(labels)
    opened = tables.open_pool(store, "val", store.cards("val"))
    sizes = range(1, min(longest, len(models)) + 1)
    every = [s for size in sizes for s in itertools.permutations(range(len(models)), size)]
    found = GivenSequences(opened, every).frontier(every, levels=2)
    expected = naive.search(
        models, labels, longest, n + 1, "mean_logits", "max_prob", "all", scores=product_scores(opened)
    )
    assert [(e.correct, e.average_cost) for e in found] == [
        (p.correct, float(Fraction(p.total_cost, n))) for p in expected
    ]


def realistic(units, classes=8, models=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, units)
    ease = rng.gamma(1.5, 1.0, units)
    made = []
    for m in range(models):
        logits = rng.normal(size=(units, classes)).astype(np.float32)
        logits[np.arange(units), labels] += (ease * (0.8 + 0.4 * m)).astype(np.float32)
        made.append(naive.Model(f"m{m}", f"m{m}", 0, {f"m{m}": 10 * 3**m}, logits))
    return MemoryStore(made, labels.tolist())


@pytest.mark.parametrize("units", [300, 1500])
def test_exact_equals_the_grid_of_all_thresholds(units):
    """On larger pools: the grid with as many levels as units is exhaustive too, for pairs."""
    store = realistic(units)
    every = search(store, max_models=2, levels=units + 1)
    exact = search(store, max_models=2, levels=20, exact=True)
    assert [(e.correct, e.average_cost) for e in exact] == [(e.correct, e.average_cost) for e in every]


def test_exact_is_never_worse_than_the_grid():
    store = realistic(2000)
    grid = search(store, levels=100)
    exact = search(store, levels=100, exact=True)
    better = 0
    for e in grid:
        best = exact.within(average_cost=e.average_cost)
        assert best.quality >= e.quality
        better += best.quality > e.quality
    assert better


def test_what_exact_cannot_prove_is_said():
    store = realistic(50, models=5)
    begun = []
    with pytest.raises(UsageError, match="up to 4 members"):
        search(store, max_models=5, exact=True, progress=lambda task, *_: begun.append(task))
    assert begun == []  # nothing is swept in vain
    rng = np.random.default_rng(0)
    costly = [
        naive.Model(
            f"m{m}", f"m{m}", 0, {}, rng.normal(size=(20, 3)).astype("f4"), unit_costs=rng.integers(1, 4, 20).tolist()
        )
        for m in range(2)
    ]
    store = MemoryStore(costly, [0] * 20)
    cards = tuple(replace(card, costs={"latency_ms": 1.0}) for card in store.cards("val"))
    store.cards = lambda split: cards
    with pytest.raises(UsageError, match="same for every unit"):
        search(store, exact=True, max_average={"latency_ms": 1.5})
