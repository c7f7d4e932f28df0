"""Limits on a percentile and on further average costs against brute force over every combination and level vector."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import MemoryStore, pools
from test_search import product_scores, random_pool

from wisecommittee.errors import CostError, InfeasibleError, UsageError
from wisecommittee.searches.choice import search_and_choose
from wisecommittee.searches.limits import LimitFigures, percentile_cost
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool

CASES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class CostedStore(MemoryStore):
    """Models with further costs on their cards."""

    def __init__(self, models, labels, costs):
        super().__init__(models, labels)
        self.costs = costs  # {name: {model: cost}}

    def card(self, model, split):
        costs = {name: column[model] for name, column in self.costs.items()}
        return replace(super().card(model, split), costs=costs)


def first_units(pool, units):
    """The same pool on its first units."""
    models, labels = pool
    cut = [
        replace(
            m,
            outputs=None if m.outputs is None else m.outputs[:units],
            stored_scores={name: values[:units] for name, values in m.stored_scores.items()},
            unit_costs=None if m.unit_costs is None else m.unit_costs[:units],
        )
        for m in models
    ]
    return cut, labels[:units]


def order_statistic(costs, percent):
    """The smallest cost that at least percent % of the units do not exceed."""
    for c in sorted(costs):
        if 100 * sum(cost <= c for cost in costs) >= percent * len(costs):
            return c
    raise AssertionError


def brute_force(models, labels, *, max_models, levels, confidence, scores, percentile, averages, costs, worst):
    """The frontier [(correct, total cost)] of all vectors within the limits, one plain evaluation each."""
    n = len(labels)
    points = []
    for combination in naive.combinations(models, max_models, "canonical"):
        prefixes = [combination[: k + 1] for k in range(len(combination))]
        values = [
            naive.levels(naive.prefix_scores(p, "mean_logits", confidence, scores), levels, confidence)
            for p in prefixes[:-1]
        ]
        for vector in itertools.product(*values):
            found = naive.evaluate([[m] for m in combination], vector, labels, "mean_logits", confidence, scores, True)
            if worst is not None and found.worst_case > worst:
                continue
            if percentile is not None:
                spent = [naive.set_cost(prefixes[k], i) for i, k in enumerate(found.exit_stage)]
                if order_statistic(spent, percentile[0]) > percentile[1]:
                    continue
            totals = {
                name: sum(costs[name][m.name] for k in found.exit_stage for m in prefixes[k]) for name in averages or {}
            }
            if all(total <= averages[name] * n for name, total in totals.items()):
                points.append((found.total_cost, found.correct))
    kept = []
    for cost, correct in sorted(points, key=lambda p: (p[0], -p[1])):
        if not kept or correct > kept[-1][0]:
            kept.append((correct, cost))
    return kept


def check(pool, *, max_models, levels, confidence, percentile, averages, worst, exact):
    models, labels = pool
    rng = np.random.default_rng(len(labels))
    costs = {name: {m.name: int(rng.integers(1, 5)) for m in models} for name in ("latency_ms", "usd")}
    store = CostedStore(models, labels, costs)
    opened = open_pool(store, "val", store.cards("val"), combine="mean_logits", confidence=confidence)
    expected = brute_force(
        models,
        labels,
        max_models=max_models,
        levels=len(labels) + 1 if exact else levels,
        confidence=confidence,
        scores=product_scores(opened),
        percentile=percentile,
        averages=averages,
        costs=costs,
        worst=worst,
    )
    options = {
        "max_models": max_models,
        "levels": levels,
        "confidence": confidence,
        "combine": "mean_logits",
        "exact": exact,
        "max_percentile_cost": percentile,
        "max_average": averages,
        "max_worst_cost": worst,
    }
    if not expected:
        with pytest.raises(InfeasibleError):
            search(store, threads=1, **options)
        return
    frontier = search(store, threads=1, **options)
    n = len(labels)
    assert [(e.correct, e.average_cost) for e in frontier] == [(a, float(Fraction(c, n))) for a, c in expected]
    assert list(search(store, threads=3, **options)) == list(frontier)
    told = LimitFigures(store, frontier.query)
    for e in frontier:
        figures = told(e)
        if percentile is not None:
            assert figures["percentile_cost"]["cost"] <= percentile[1]
        for name, limit in (averages or {}).items():
            assert figures["averages"][name] <= limit


PERCENTILES = st.none() | st.tuples(st.sampled_from([1.0, 50, 75.0, 90, 99, 100]), st.integers(1, 9))
AVERAGES = st.sampled_from([None, {"usd": 1.5}, {"usd": 4}, {"latency_ms": 2.25, "usd": 3}, {"usd": 0}])


@CASES
@given(
    pools(per_unit=False),
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from(["max_prob", "confidence"]),
    PERCENTILES,
    AVERAGES,
    st.sampled_from([None, None, 7]),
)
def test_grid_with_limits_equals_brute_force(pool, max_models, levels, confidence, percentile, averages, worst):
    check(
        pool,
        max_models=max_models,
        levels=levels,
        confidence=confidence,
        percentile=percentile,
        averages=averages,
        worst=worst,
        exact=False,
    )


@CASES
@given(pools(per_unit=False), st.integers(2, 3), st.integers(2, 5), PERCENTILES, AVERAGES)
def test_exact_with_limits_equals_brute_force(pool, max_models, units, percentile, averages):
    check(
        first_units(pool, units),
        max_models=max_models,
        levels=2,
        confidence="max_prob",
        percentile=percentile,
        averages=averages,
        worst=None,
        exact=True,
    )


@settings(CASES, max_examples=25)
@given(pools(per_unit=False), st.integers(2, 3), PERCENTILES, AVERAGES)
def test_four_members_with_limits_equal_brute_force(pool, units, percentile, averages):
    for exact in (False, True):
        check(
            first_units(pool, units),
            max_models=4,
            levels=2,
            confidence="max_prob",
            percentile=percentile,
            averages=averages,
            worst=None,
            exact=exact,
        )


@settings(CASES, max_examples=25)
@given(pools(per_unit=True), st.integers(1, 3), st.integers(2, 4), AVERAGES)
def test_average_limit_beside_a_cost_that_varies(pool, max_models, levels, averages):
    check(
        pool,
        max_models=max_models,
        levels=levels,
        confidence="max_prob",
        percentile=None,
        averages=averages,
        worst=None,
        exact=False,
    )


@pytest.mark.parametrize("percentile", [(80.0, 3), (50, 6), (60, 10)])
def test_five_members_with_limits(percentile):
    """Earlier stages than the kernel sweeps are limited too."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 6).tolist()
    models = [
        naive.Model(f"a/{r}", "a", r, {f"a/{r}": 1 + r}, rng.integers(-2, 3, (6, 3)).astype(np.float32))
        for r in range(5)
    ]
    check(
        (models, labels),
        max_models=5,
        levels=3,
        confidence="max_prob",
        percentile=percentile,
        averages={"usd": 4.5},
        worst=None,
        exact=False,
    )


def realistic(units=1500):
    models, labels = random_pool(units=units, models=5)
    costs = {"latency_ms": {m.name: 1 + 0.7 * k for k, m in enumerate(models)}}
    return CostedStore(models, labels, costs)


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


def test_limits_on_the_command_line(run, store):
    options = ("--store", store, "--json", "--levels", 20)
    limits = ("--percentile", 90, "--max-percentile-cost", 500, "--max-average", "latency_ms=2.5")
    code, out, err = run("search", *options, *limits)
    assert code == 0, err
    found = json.loads(out)
    assert found["query"]["max_percentile_cost"] == [90, 500]
    assert found["query"]["max_average"] == {"latency_ms": 2.5}
    assert found["searched"]["method"] == "exhaustive"
    assert found["searched"]["complete"] is found["searched"]["certified"] is True
    val = found["val"]
    latency, cost = {"small": 1.5, "mid": 2.5, "large": 7}, {"small": 100, "mid": 400, "large": 1600}
    stages = found["committee"]["stages"]
    running = [sum(latency[m] for stage in stages[: k + 1] for m in stage) for k in range(len(stages))]
    spent = [sum(cost[m] for stage in stages[: k + 1] for m in stage) for k in range(len(stages))]
    assert val["averages"]["latency_ms"] == pytest.approx(np.dot(val["exit_ratios"], running))
    assert val["averages"]["latency_ms"] <= 2.5
    assert val["percentile_cost"]["cost"] in spent
    assert sum(r for r, c in zip(val["exit_ratios"], spent, strict=True) if c <= 500) >= 0.9
    assert {"percentile_cost", "averages"} <= set(found["test"])
    code, out, _ = run("search", *options, "--method", "exact", "--target-flops", 600)
    exact = json.loads(out)
    assert exact["searched"]["exact"] is True
    again = json.loads(run("search", *options, "--exact", "--target-flops", 600)[1])
    assert again["committee"] == exact["committee"]


def test_a_stopped_search_says_so_on_the_command_line(run, store):
    code, out, err = run("search", "--store", store, "--json", "--time-limit", 0)
    assert code == 0
    searched = json.loads(out)["searched"]
    assert searched["complete"] is searched["certified"] is searched["exact"] is False
    assert "stopped before the end" in err
    assert f"{100 * searched['gap']:.2f} points" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-average", "latency_ms"), "NAME=NUMBER"),
        (("--max-average", "watts=3"), "no cost 'watts'"),
        (("--max-percentile-cost", 5, "--percentile", 0), "percentile"),
        (("--method", "genetic"), "unknown method 'genetic'"),
        (("--max-percentile-cost", 5), "raise one of them"),
    ],
)
def test_wrong_limits_end_in_one_line(run, store, arguments, message):
    code, _, err = run("search", "--store", store, *arguments)
    assert code in (1, 2)
    assert message in err
    assert len(err.strip().splitlines()) == 1
