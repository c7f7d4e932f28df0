"""Limits on a percentile and on further average costs against brute force over every combination and level vector."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, first_units, pools, random_pool, with_further_costs

from wisecommittee.errors import CostError, InfeasibleError, UsageError
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.limits import LimitFigures, make_limits, percentile_cost
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool

PERCENTILES = st.none() | st.tuples(st.sampled_from([1.0, 50, 75.0, 90, 99, 100]), st.integers(1, 9))
AVERAGES = st.sampled_from([None, {"usd": 1.5}, {"usd": 4}, {"latency_ms": 2.25, "usd": 3}, {"usd": 0}])
SMALL = st.tuples(pools(per_unit=False), st.integers(2, 5)).map(lambda drawn: first_units(*drawn))


def limits_of(percentile, averages, worst=None):
    return {"max_percentile_cost": percentile, "max_average": averages, "max_worst_cost": worst}


@cases(60)
@given(
    pools(per_unit=False),
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from(["max_prob", "confidence"]),
    st.builds(limits_of, PERCENTILES, AVERAGES, st.sampled_from([None, None, 7])),
)
def test_grid_with_limits_equals_oracle(pool, max_models, levels, confidence, limits):
    pool = with_further_costs(pool, len(pool[1]))
    found = agree(pool, max_models=max_models, levels=levels, confidence=confidence, **limits)
    if found is None:
        return
    figures = LimitFigures(MemoryStore(*pool), found.query)
    percentile = limits["max_percentile_cost"]
    for told in map(figures, found):
        assert percentile is None or told["percentile_cost"]["cost"] <= percentile[1]
        assert all(told["averages"][name] <= most for name, most in (limits["max_average"] or {}).items())


@cases(60)
@given(SMALL, st.integers(2, 3), st.builds(limits_of, PERCENTILES, AVERAGES))
def test_exact_with_limits_equals_oracle(pool, max_models, limits):
    agree(with_further_costs(pool, len(pool[1])), max_models=max_models, levels=2, exact=True, **limits)


@cases(25)
@given(SMALL, st.builds(limits_of, PERCENTILES, AVERAGES))
def test_four_members_with_limits_equal_oracle(pool, limits):
    for exact in (False, True):
        agree(with_further_costs(pool, len(pool[1])), max_models=4, levels=2, exact=exact, **limits)


@cases(25)
@given(pools(per_unit=True), st.integers(1, 3), st.integers(2, 4), AVERAGES)
def test_average_limit_beside_a_cost_that_varies(pool, max_models, levels, averages):
    agree(with_further_costs(pool), max_models=max_models, levels=levels, max_average=averages)


def realistic(units=1500):
    models, labels = random_pool(units=units, models=5)
    models = [replace(m, further_costs={"latency_ms": 1 + 0.7 * k}) for k, m in enumerate(models)]
    return MemoryStore(models, labels)


@pytest.mark.parametrize("exact", [False, True])
def test_filtering_afterwards_would_lose_committees(exact):
    """Every unlimited point within the limits is matched, and the limited search knows more of them."""
    store = realistic()
    limits = {"max_percentile_cost": (90.0, 90.0), "max_average": {"latency_ms": 3.5}}
    options = {"levels": 30, "max_models": 3, "exact": exact}
    free, limited = search(store, **options), search(store, **options, **limits)
    figures = LimitFigures(store, limited.query)
    kept = [
        e for e in free if figures(e)["percentile_cost"]["cost"] <= 90 and figures(e)["averages"]["latency_ms"] <= 3.5
    ]
    for e in kept:
        assert limited.within(average_cost=e.average_cost).quality == e.quality
    assert len(limited) > len(kept) > 0
    assert list(search(store, **options, **limits, threads=1)) == list(limited)


def test_figures_of_limits_are_in_the_answer():
    store = realistic(300)
    store.has_split = lambda split: False
    found = search_and_choose(store, Query(levels=10, max_percentile_cost=(95.0, 200.0), max_average={"latency_ms": 4}))
    out = found.to_json()
    assert out["query"]["max_percentile_cost"] == [95.0, 200.0]
    assert out["query"]["max_average"] == {"latency_ms": 4}
    figures = out["val"]
    assert figures["percentile_cost"]["percent"] == 95.0
    assert figures["percentile_cost"]["cost"] <= 200
    assert figures["averages"]["latency_ms"] <= 4
    assert out["frontier"][-1]["val"] == figures
    plain = search_and_choose(store, Query(levels=10)).to_json()
    assert "percentile_cost" not in plain["val"]
    assert "averages" not in plain["val"]


@pytest.mark.parametrize("percent", [0.5, 50, 90, 99.0, 99.9, 100])
def test_percentile_is_the_order_statistic(percent):
    rng = np.random.default_rng(0)
    for n in (1, 7, 200, 1000):
        exits = rng.multinomial(n, [0.5, 0.3, 0.19, 0.01])
        costs = [1.0, 3.0, 3.0, 10.0]
        every = np.repeat(costs, exits)
        expected = every[math.ceil(Fraction(str(percent)) * n / 100) - 1]
        assert percentile_cost([e / n for e in exits], n, costs, percent) == expected


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_percentile_cost": (0.0, 5.0)}, UsageError, "percentile"),
        ({"max_percentile_cost": (101, 5.0)}, UsageError, "percentile"),
        ({"max_percentile_cost": (99, float("nan"))}, UsageError, "finite"),
        ({"max_average": {"latency_ms": -1}}, UsageError, "finite"),
        ({"max_average": {"watts": 3}}, CostError, "no cost 'watts'"),
        ({"max_average": {"latency_ms": 0.5}}, InfeasibleError, "latency_ms"),
        ({"max_percentile_cost": (50.0, 3.0)}, InfeasibleError, "percentile"),
    ],
)
def test_wrong_limits_name_the_remedy(options, error, message):
    with pytest.raises(error, match=message):
        search(realistic(50), levels=5, **options)


def test_a_percentile_of_a_cost_that_varies_is_refused():
    models, labels = random_pool(units=20, models=2)
    varying = [replace(m, unit_costs=[1 + i % 3 for i in range(20)]) for m in models]
    with pytest.raises(UsageError, match="same for every unit"):
        search(MemoryStore(varying, labels), max_percentile_cost=(90, 2.0))
    store = MemoryStore(varying, labels, cost="usd")
    with pytest.raises(UsageError, match="same cost for every unit"):
        search(store, cost="usd", max_average={"usd": 2.0})


@pytest.mark.parametrize("units", [1, 2, 7, 10, 60, 99, 101])
def test_as_many_units_may_cost_more_as_the_percentile_leaves(units):
    """Of N units the most that can stay above the limit while at least so many percent keep it, by counting."""
    store = MemoryStore(*random_pool(units=units, models=1))
    pool = open_pool(store, "val", store.cards("val"))
    for percent in ("0.1", "12.5", "33.3", "50", "90", "99", "99.9", "100"):
        share = Fraction(percent) / 100
        most = max(above for above in range(units + 1) if units - above >= share * units)
        assert make_limits(pool, Query(max_percentile_cost=(float(percent), 1.0))).allowed == most
