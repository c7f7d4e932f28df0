"""What a stage costs beside its members: charged once a stage, by the oracle and by the search alike."""

from __future__ import annotations

import itertools
from dataclasses import replace

import naive
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, for_rule, joint_pools, pools, random_pool, with_further_costs

import wisecommittee as wc
from wisecommittee.errors import StoreError, UsageError
from wisecommittee.store.stage_overhead import StageOverhead

LATENCY = "latency_ms"
OVERHEADS = st.integers(1, 9)


@cases(50)
@given(
    pools(),
    OVERHEADS,
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from(["mean_logits", "mean_probs", "last"]),
    st.sampled_from(["canonical", "all"]),
    st.sampled_from([{}, {}, {"max_worst_cost": 12}, {"axis": "worst"}, {"axis": "p60"}, {"exact": True}]),
)
def test_cascades_with_an_overhead_equal_the_oracle(pool, overhead, models, levels, combine, replicas, more):
    options = {"combine": combine, "replicas": replicas, "max_models": models, "levels": levels}
    agree((for_rule(pool[0], combine), pool[1]), overhead=overhead, **(options | more))


@cases(25)
@given(joint_pools(), OVERHEADS, st.integers(1, 3), st.sampled_from(["cascade", "ensemble"]))
def test_groups_with_an_overhead_equal_the_oracle(pool, overhead, stages, family):
    agree(pool, overhead=overhead, levels=3, max_models=stages, family=family)


@cases(15)
@given(joint_pools(loose=False), OVERHEADS)
def test_halting_with_an_overhead_equals_the_oracle(pool, overhead):
    pool = for_rule(pool[0], "mean_probs"), pool[1]
    options = {"family": "halting", "combine": "mean_probs", "confidence": "halting", "max_models": None}
    agree(pool, overhead=overhead, levels=3, **options)


@cases(8)
@given(pools(), OVERHEADS, st.integers(2, 3), st.sampled_from(["beam", "greedy"]))
def test_methods_that_prove_nothing_report_the_overhead(pool, overhead, models, method):
    agree(pool, overhead=overhead, levels=3, max_models=models, method=method)


def latency_store(overhead, **options):
    models, labels = with_further_costs(random_pool(units=120, models=3), **options)
    store = MemoryStore(models, labels)
    store.overheads = {LATENCY: overhead}
    return store, {m.name: m for m in models}


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("parallel", [(), (LATENCY,)])
def test_every_stage_is_charged_its_members_and_the_overhead(varying, parallel):
    store, models = latency_store(0.25, varying=varying)
    for e in wc.search(store, cost=LATENCY, parallel=parallel, levels=6):
        of_stage = [
            [naive_stage([models[m] for m in stage], i, parallel) + 0.25 for i in range(e.n)]
            for stage in e.committee.stages
        ]
        waits = [list(itertools.accumulate(each)) for each in zip(*of_stage, strict=True)]
        assert e.worst_case_cost == max(each[-1] for each in waits)
        if not varying:
            average = sum(share * wait for share, wait in zip(e.exit_ratios, waits[0], strict=True))
            assert e.average_cost == pytest.approx(average)


def naive_stage(members, i, parallel):
    costs = [naive.further_cost(m, LATENCY, i) for m in members]
    return max(costs) if parallel else sum(costs)


def test_costs_without_an_overhead_stay_as_they_are():
    store, _ = latency_store(3)
    with_overhead = wc.search(store, cost="usd", levels=6)
    store.overheads = {}
    without = wc.search(store, cost="usd", levels=6)
    assert [(e.committee, e.cost) for e in with_overhead] == [(e.committee, e.cost) for e in without]


@pytest.mark.parametrize("policy", ["labels", "agreement", "adaptive", "auto"])
def test_committees_with_other_policies_are_charged_the_overhead_of_every_stage_they_run(policy):
    store, models = latency_store(0.5)
    for e in wc.search(store, cost=LATENCY, policy=policy, levels=6):
        stages = len(e.committee.stages)
        members = sum(models[m].further_costs[LATENCY] for m in e.committee.models)
        assert e.worst_case_cost <= members + 0.5 * stages
        least = min(sum(models[m].further_costs[LATENCY] for m in stage) for stage in e.committee.stages)
        assert e.average_cost >= least + 0.5


def test_a_search_of_too_many_divisions_takes_the_beam_and_exact_names_the_remedy():
    models, labels = random_pool(units=20, models=24)
    store = MemoryStore([replace(m, further_costs={LATENCY: 1 + k}) for k, m in enumerate(models)], labels)
    store.overheads = {LATENCY: 1}
    assert wc.search(store, cost=LATENCY, levels=2).searched["method"] == "beam"
    with pytest.raises(UsageError, match=r"overhead of a stage in latency_ms: .* divisions .* lower max_models"):
        wc.search(store, cost=LATENCY, levels=2, exact=True)


def test_the_store_keeps_the_overhead_and_refuses_a_damaged_one(tmp_path):
    store = wc.LogitStore(tmp_path / "logits")
    assert store.stage_overhead() == StageOverhead()
    written = StageOverhead({LATENCY: 0.31, "batch_ms": 0.012}, {"device": "a processor", "batch_size": 64})
    store.record_overhead(written)
    assert wc.LogitStore(tmp_path / "logits").stage_overhead() == written
    assert store.splits() == ()
    file = tmp_path / "logits" / "stage_overhead.json"
    for text in ("{", '{"version": 1}', '{"version": 1, "costs": {"latency_ms": -1}}', '{"version": 1, "costs": [1]}'):
        file.write_text(text)
        with pytest.raises(StoreError, match=r"stage_overhead.json: .*bench-models"):
            store.stage_overhead()
        assert any("stage_overhead.json" in problem for problem in store.verify())
