"""Frontiers over the worst case and over the 99th percentile, against every vector of every combination."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, random_pool

from wisecommittee import Frontier
from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.searches.grid.cost_axis import CostAxis
from wisecommittee.searches.search import search

AXES = ["p30", "p60", "p99", "p99.9", "p100"]


@cases(80)
@given(pools(), st.integers(1, 3), st.integers(2, 5), st.booleans())
def test_worst_case_equals_oracle(pool, max_models, levels, exact):
    agree(pool, axis="worst", max_models=max_models, levels=levels, exact=exact)


@cases(80)
@given(pools(per_unit=False), st.integers(1, 3), st.integers(2, 5), st.sampled_from(AXES), st.booleans())
def test_percentile_equals_oracle(pool, max_models, levels, axis, exact):
    agree(pool, axis=axis, max_models=max_models, levels=levels, exact=exact)


@cases(80)
@given(pools(per_unit=True), st.integers(1, 3), st.integers(2, 5), st.sampled_from(AXES))
def test_percentile_of_a_cost_that_varies_equals_oracle(pool, max_models, levels, axis):
    agree(pool, axis=axis, max_models=max_models, levels=levels)


def test_prices_too_large_for_ties_keep_their_order():
    """Where totals do not fit beside the prices they are coarser; prices stay exact."""
    blocks = np.array([2**53 + 1, 2**53 + 2, 2**50], np.int64)
    cost = CostModel("usd", Fraction(1), blocks, np.eye(3, dtype=bool))
    sequences = [np.array([[0], [1], [2]]), np.array([[0, 1], [1, 2]])]
    axis = CostAxis.of("worst", cost, 200, sequences)
    _, offsets, _ = axis.variants(np.array([[0], [1]]))
    worst = 200 * int(axis.cost.worst(sequences[1]).max())
    assert offsets[1] - offsets[0] > worst > 0
    assert len(axis.prices) * axis.span < 2**62


@pytest.mark.parametrize("axis", ["worst", "p99"])
def test_limits_and_axis_hold_together(axis):
    models, labels = random_pool(units=120, models=4)
    store = MemoryStore(models, labels)
    cards = tuple(replace(c, costs={"usd": 1.0 + 3 * i}) for i, c in enumerate(store.cards("val")))
    store.cards = lambda split: cards
    free = search(store, levels=8, axis=axis)
    for exact in (False, True):
        held = search(store, levels=8, axis=axis, exact=exact, max_average={"usd": 4.0})
        assert all(e.costs["usd"].average <= 4 for e in held)
        for e in held:
            within = {"worst": {"worst_case_cost": e.worst_case_cost}, "p99": {"p99_cost": e.p99_cost}}[axis]
            if not exact:
                assert free.within(**within).quality >= e.quality


def test_other_costs_of_a_frontier(tmp_path):
    models, labels = random_pool()
    store = MemoryStore(models, labels)
    latency = {f"m{m}": [5.0, 1.0, 4.0, 2.5, 3.0, 2.0][m] for m in range(6)}
    cards = tuple(replace(card, costs={"latency_ms": latency[card.model]}) for card in store.cards("val"))
    store.cards = lambda split: cards
    frontier = search(store, levels=10)
    for e in frontier:
        stages, ran, paid = e.committee.stages, 0.0, []
        for stage, ratio in zip(stages, e.exit_ratios, strict=True):
            ran += sum(latency[m] for m in stage)
            paid += [ran] * round(ratio * e.n)
        average, p99 = sum(paid) / e.n, paid[math.ceil(99 * e.n / 100) - 1]
        assert e.costs["latency_ms"] == (pytest.approx(average), p99, ran)
        assert e.figures()["further_costs"]["latency_ms"]["p99"] == e.cost_named("p99_latency_ms") == p99
    frame = frontier.to_frame()
    assert frame["average_latency_ms"].tolist()[0] == frontier.evaluations[0].costs["latency_ms"].average
    kept = frontier.skyline("average_latency_ms")
    for e in frontier:
        within = [k for k in kept if k.costs["latency_ms"].average <= e.costs["latency_ms"].average]
        assert within[-1].quality >= e.quality
    assert [k.quality for k in kept] == sorted({k.quality for k in kept})
    with pytest.raises(UnknownNameError, match="average_latency_ms"):
        frontier.skyline("average_latency")
    frontier.save(tmp_path / "f.parquet")
    assert Frontier.load(tmp_path / "f.parquet").evaluations == frontier.evaluations


def test_targets_belong_to_the_axis():
    models, labels = random_pool(models=3)
    store = MemoryStore(models, labels)
    worst = search(store, levels=5, axis="worst")
    assert worst.within(worst_case_cost=30).worst_case_cost <= 30
    assert worst.best().worst_case_cost == max(e.worst_case_cost for e in worst)
    for limit in (10, 30, 70):  # each of its points is the best of the search with that limit
        limited = search(store, levels=5, max_worst_cost=limit)
        assert worst.within(worst_case_cost=limit).quality == limited.best().quality
    with pytest.raises(UsageError, match=r"over worst_case_cost.*axis='average'"):
        worst.within(average_flops=30)
    with pytest.raises(UsageError, match="name one target"):
        worst.within()
    with pytest.raises(UsageError, match="leave axis='worst' out"):
        search(store, method="beam", axis="worst")
    with pytest.raises(UnknownNameError, match="did you mean 'worst'"):
        search(store, axis="worse")
