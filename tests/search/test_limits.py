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
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.evaluate import evaluate_all
from wisecommittee.searches.limits import make_limits
from wisecommittee.searches.percentile import percentiles
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool

PERCENTILES = st.none() | st.tuples(st.sampled_from([1.0, 50, 75.0, 90, 99, 100]), st.integers(1, 9))
AVERAGES = st.sampled_from([None, {"usd": 1.5}, {"usd": 4}, {"latency_ms": 2.25, "usd": 3}, {"usd": 0}])
SMALL = st.tuples(pools(per_unit=False), st.integers(2, 5)).map(lambda drawn: first_units(*drawn))


def limits_of(percentile, averages, worst=None):
    return {"max_percentile_cost": percentile, "max_average": averages, "max_worst_cost": worst}


@cases(40)
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
    percentile = limits["max_percentile_cost"]
    for e in found:
        assert percentile is None or e.percentile(float(percentile[0])) <= percentile[1]
        assert all(e.costs[name].average <= most for name, most in (limits["max_average"] or {}).items())


@cases(40)
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


SHARES = st.lists(
    st.builds(
        "P({} > {}) <= {}".format,
        st.sampled_from(["cost", "latency_ms", "usd"]),
        st.sampled_from([0, 2, 3, 5, 7.5]),
        st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9]),
    ),
    min_size=1,
    max_size=2,
).map(tuple)


@cases(150)
@given(pools(), st.integers(1, 3), st.integers(2, 5), SHARES, PERCENTILES, AVERAGES, st.booleans())
def test_limits_on_costs_that_vary_equal_oracle(pool, max_models, levels, shares, percentile, averages, shared):
    """Shares of units and averages, of the cost that is searched and of others, of which one varies per unit."""
    limits = {"limit": shares, "max_percentile_cost": percentile, "max_average": averages}
    pool = with_further_costs(pool, len(pool[1]), varying=True)
    agree(pool, max_models=max_models, levels=levels, shared_threshold=shared, **limits)


@cases(40)
@given(SMALL, SHARES, AVERAGES, st.sampled_from(["last", "mean_logits"]))
def test_four_members_with_limits_on_costs_that_vary_equal_oracle(pool, shares, averages, combine):
    pool = with_further_costs(pool, len(pool[1]), varying=True)
    agree(pool, max_models=4, levels=3, limit=shares, max_average=averages, combine=combine)


@cases(40)
@given(pools(), st.integers(1, 3), st.integers(2, 4), SHARES, st.sampled_from(["p60", "p99", "worst"]))
def test_limits_on_costs_that_vary_hold_along_any_axis(pool, max_models, levels, shares, axis):
    pool = with_further_costs(pool, len(pool[1]), varying=True)
    agree(pool, max_models=max_models, levels=levels, limit=shares, axis=axis)


@cases(40)
@given(pools(per_unit=False), st.integers(2, 3), SHARES)
def test_shares_of_units_with_equal_costs_are_proved(pool, max_models, shares):
    agree(with_further_costs(pool), max_models=max_models, levels=3, limit=shares, exact=True)


@cases(30)
@given(pools(), st.integers(1, 3), SHARES, AVERAGES)
def test_ensembles_keep_limits_on_costs_that_vary(pool, max_models, shares, averages):
    pool = with_further_costs(pool, len(pool[1]), varying=True)
    agree(pool, family="ensemble", max_models=max_models, limit=shares, max_average=averages)


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
    again = evaluate_all([e.committee for e in free], store, "val", detail=CostDetail.of(limited.query))
    kept = [e for e in again if e.percentile(90) <= 90 and e.costs["latency_ms"].average <= 3.5]
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
        exits = rng.multinomial(n, [0.5, 0.3, 0.19, 0.01], size=3)
        costs = np.array([1, 10, 3, 3])
        expected = [np.sort(np.repeat(costs, e))[math.ceil(Fraction(str(percent)) * n / 100) - 1] for e in exits]
        assert percentiles(costs, exits, percent).tolist() == expected


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


RARE = "P(usd > 3) <= 0.1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": True, "max_percentile_cost": (90, 4.0)}, "exact=True with limits needs costs that are the same"),
        (
            {"exact": True, "limit": ("P(usd > 3) <= 0.1",)},
            "for every unit; usd varies. Leave the limits or exact=True",
        ),
        ({"exact": True, "axis": "p90"}, "exact=True with axis='p90' needs a cost that is the same for every unit"),
        ({"method": "beam", "limit": (RARE,)}, "method='beam' limits the worst case only"),
        (
            {"policy": "labels", "limit": ("P(usd > 3) <= 0.1",)},
            "limit='P.usd > 3. <= 0.1', which goes with thresholds",
        ),
        (
            {"limit": ("P(watts > 3) <= 0.1",)},
            "a limit on watts: m0 has no cost 'watts'; all of these",
        ),
        ({"limit": ("accuracy >= 0.9",)}, "limit='accuracy >= 0.9' is no limit on a cost.* can be a guarantee="),
        ({"limit": ("P(usd > 3) <= 5",)}, "'5'; expected a share above 0 and below 1, such as 0.05"),
        ({"limit": "P(usd > 3) <= 0.5"}, "expected a list of texts"),
    ],
)
def test_limits_on_a_cost_that_varies_which_no_search_keeps_name_the_remedy(options, message):
    models, labels = random_pool(units=20, models=2)
    varying = [replace(m, unit_costs=[1 + i % 3 for i in range(20)]) for m in models]
    with pytest.raises((UsageError, CostError), match=message):
        search(MemoryStore(varying, labels, cost="usd"), cost="usd", **options)


@pytest.mark.parametrize("units", [1, 2, 7, 10, 60, 99, 101])
def test_as_many_units_may_cost_more_as_the_percentile_leaves(units):
    """Of N units the most that can stay above the limit while at least so many percent keep it, by counting."""
    store = MemoryStore(*random_pool(units=units, models=1))
    pool = open_pool(store, "val", store.cards("val"))
    for percent in ("0.1", "12.5", "33.3", "50", "90", "99", "99.9", "100"):
        share = Fraction(percent) / 100
        most = max(above for above in range(units + 1) if units - above >= share * units)
        (limit,) = make_limits(pool, Query(max_percentile_cost=(float(percent), 1.0))).every
        assert limit.most == most
