"""What a heuristic can be missing at most, against the proved optimum and loops over the definition."""

from __future__ import annotations

import naive
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, random_pool

from wisecommittee.kernels.envelope import UNREACHED
from wisecommittee.searches.exact.gap import router_costs, router_gap
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool

RULES = [("logits", "mean_logits"), ("logits", "mean_probs"), ("logits", "last"), ("probabilities", "mean_logits")]


def check_holds(models, labels, **options):
    store, n = MemoryStore(models, labels), len(labels)
    proved = search(store, exact=True, max_models=3, threads=1, **options)
    for method in ("greedy", "beam"):
        found = search(store, method=method, max_models=2, threads=1, **options)
        for e in proved:
            have = max((f.correct for f in found if f.average_cost <= e.average_cost), default=0)
            assert e.correct - have <= round(found.searched["gap"] * n)


@cases(40)
@given(st.data(), st.sampled_from(RULES))
def test_gap_holds(data, rule):
    kind, combine = rule
    check_holds(*data.draw(pools(kind, per_unit=False)), combine=combine, confidence="max_prob")


@cases(40)
@given(pools("answers", per_unit=False))
def test_gap_of_answers_holds(pool):
    check_holds(*pool)


@cases(40)
@given(pools(per_unit=False))
def test_router_costs_are_those_of_loops(pool):
    models, labels = pool
    store = MemoryStore(models, labels)
    for combine in ("mean_logits", "last"):
        opened = open_pool(store, "val", store.cards("val"), combine=combine)
        alone = opened.cost.worst(np.arange(len(models))[:, None])
        expected = []
        for i, label in enumerate(labels):
            prices = []
            for rival in range(models[0].outputs.shape[1]):
                able = []
                for m in models:
                    row = [float(v) for v in m.outputs[i]]
                    fine = row.index(max(row)) == label if combine == "last" else row[label] >= row[rival]
                    able += [int(sum(m.blocks.values()) / opened.cost.unit)] if fine else []
                prices.append(min(able, default=int(UNREACHED)))
            expected.append(max(prices))
        assert router_costs(opened, alone).tolist() == expected


def test_gap_says_something():
    """Where one model is right whenever any is, at the least cost, nothing can be gained."""
    labels = [0, 1, 0, 1]
    first = np.array([[2, 0], [0, 2], [1, 0], [1, 0]], np.float32)
    second = np.array([[1, 0], [0, 1], [0, 1.5], [1, 0]], np.float32)
    models = [naive.Model(m, m, 0, {m: c}, o) for m, o, c in (("a", first, 1), ("b", second, 2))]
    assert search(MemoryStore(models, labels), method="greedy").searched["gap"] == 0.0
    models, labels = random_pool(units=600, models=5)
    found = search(MemoryStore(models, labels), method="beam")
    assert 0 < found.searched["gap"] < 0.5
    costly = [naive.Model(m.name, m.name, 0, {}, m.outputs, unit_costs=[1] * 599 + [2]) for m in models]
    pool = open_pool(MemoryStore(costly, labels), "val", MemoryStore(costly, labels).cards("val"))
    assert router_gap(pool, ()) is None
