"""Members of a stage that run at the same time: a stage takes as long as its slowest member; against brute force."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, product_scores, random_pool, with_further_costs

import wisecommittee as wc
from wisecommittee.errors import AbsentNameError, UsageError
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool

LATENCY = "latency_ms"


def divisions(models):
    """Every way to divide a sequence of models into stages."""
    if not models:
        yield ()
    for size in range(1, len(models) + 1):
        for rest in divisions(models[size:]):
            yield (models[:size], *rest)


def latency(stages, i):
    """What unit i waits for these stages: each takes as long as its slowest member."""
    return sum(max(naive.further_cost(m, LATENCY, i) for m in stage) for stage in stages)


def best_points(models, labels, max_models, levels, scores, family, usd_limit=None):
    """[(total latency, correct)] that no other committee beats, over every division and vector of levels."""
    units, found = len(labels), set()
    orders = map(tuple, naive.combinations(models, max_models, "canonical"))
    for stages in itertools.chain.from_iterable(map(divisions, orders)):
        if family == "ensemble" and len(stages) > 1:
            continue
        ran = [tuple(itertools.chain(*stages[: k + 1])) for k in range(len(stages))]
        right = [naive.prefix_correct(p, labels, "mean_logits") for p in ran]
        confidences = [scores(tuple(m.name for m in p)) for p in ran[:-1]]
        grids = [naive.levels(c, levels, "max_prob") for c in confidences]
        for _, values in naive.level_vectors(grids):
            exits = naive.exit_stages(confidences, values, units)
            waits = sum(latency(stages[: k + 1], i) for i, k in enumerate(exits))
            usd = sum(naive.further_cost(m, "usd", i) for i, k in enumerate(exits) for m in ran[k])
            if usd_limit is None or usd <= usd_limit * units:
                found.add((waits, sum(right[k][i] for i, k in enumerate(exits))))
    points = []
    for wait, correct in sorted(found, key=lambda point: (point[0], -point[1])):
        if not points or correct > points[-1][1]:
            points.append((wait, correct))
    return points


@cases(40)
@given(
    pools(per_unit=False),
    st.integers(1, 3),
    st.integers(2, 4),
    st.booleans(),
    st.sampled_from(["cascade", "ensemble"]),
    st.sampled_from([None, 4]),
)
def test_searches_of_parallel_members_equal_brute_force(pool, max_models, levels, varying, family, usd):
    models, labels = with_further_costs(pool, len(pool[1]), varying=varying)
    store = MemoryStore(models, labels)
    scores = product_scores(open_pool(store, "val", store.cards("val")))
    expected = best_points(models, labels, min(max_models, len(models)), levels, scores, family, usd)
    options = {"cost": LATENCY, "parallel": (LATENCY,), "max_models": max_models, "levels": levels, "family": family}
    if usd is not None:
        options["max_average"] = {"usd": usd}
    if not expected:
        with pytest.raises(wc.errors.InfeasibleError):
            search(store, **options)
        return
    frontier = search(store, **options)
    assert [(round(Fraction(e.average_cost) * e.n), e.correct) for e in frontier] == expected
    by_name = {m.name: m for m in models}
    for e in frontier:
        read = wc.Committee.from_json(json.loads(json.dumps(e.committee.to_json())))
        assert read.parallel == (LATENCY,)
        assert wc.evaluate(read, store, "val") == e
        stages = [tuple(by_name[name] for name in stage) for stage in read.stages]
        assert e.worst_case_cost == max(latency(stages, i) for i in range(e.n))
        assert e.costs["usd"].worst == sum(m.further_costs["usd"] for stage in stages for m in stage)


def test_members_that_run_at_the_same_time_are_found_where_their_sum_is_too_slow():
    models, labels = random_pool(units=300, models=3)
    models = [replace(m, further_costs={LATENCY: 10}) for m in models]
    store = MemoryStore(models, labels)
    one = search(store, cost=LATENCY, levels=5).within(average_cost=10)
    all_at_once = search(store, cost=LATENCY, levels=5, parallel=(LATENCY,)).within(average_cost=10)
    assert one.committee.shape == "single"
    assert len(all_at_once.committee.stages[0]) > 1
    assert all_at_once.quality > one.quality


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"parallel": ("flops",)}, UsageError, "multiply-adds add up, also at the same time"),
        ({"parallel": ("watts",)}, AbsentNameError, "watts"),
        ({"parallel": (LATENCY,), "method": "beam"}, UsageError, "adds the costs of all members up; leave parallel="),
        ({"parallel": (LATENCY,), "policy": "labels"}, UsageError, "which goes with thresholds only"),
        ({"parallel": (LATENCY,), "family": "anytime"}, UsageError, "expected cascade or ensemble"),
    ],
)
def test_what_cannot_run_at_the_same_time_names_the_remedy(options, error, message):
    models, labels = random_pool(units=30, models=3)
    models = [replace(m, further_costs={LATENCY: 1 + k}, group="g", position=k) for k, m in enumerate(models)]
    if options.get("family") != "anytime":
        models = [replace(m, group=None, position=None) for m in models]
    with pytest.raises(error, match=message):
        search(MemoryStore(models, labels), levels=5, **options)


def test_committees_without_parallel_members_are_written_as_before():
    assert "parallel" not in wc.Committee((("a",),)).to_json()
    assert np.array_equal(wc.Committee((("a",),), parallel=(LATENCY,)).to_json()["parallel"], [LATENCY])
