"""What a route costs by the committee's file alone is what the evaluator charges each unit that exits after it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from policy_committees import PRICES, SEARCHED, TRUNK, N, make_store, searched

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Query, Selection, Thresholds
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.certainty import abstaining
from wisecommittee.searches.exits import exits
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.provenance import recorded_costs
from wisecommittee.searches.stages.exit_table import committee_tables


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stage-costs"))


def paid(committee, store):
    """[(route, cost)] of every unit that the evaluator reports, and the part of a mixture that it runs."""
    pool = members_pool([committee], store, "val")
    (table,) = committee_tables(pool, [committee], predict=committee.answers)
    row = exits(table, committee).row
    cost = table.cost[row] if table.cost.ndim == 1 else table.cost[row, np.arange(N)]
    routes = [(n, route) for n, part in enumerate(table.parts or (table,)) for route in part.routes]
    charged = [pool.cost.true(int(each)) for each in cost]
    assert wc.evaluate(committee, store, "val").average_cost == pytest.approx(np.mean(charged))
    return [(*routes[r], each) for r, each in zip(row.tolist(), charged, strict=True)]


def check(committee, store):
    alone = Committee.from_json(json.loads(json.dumps(committee.to_json())))
    known = [alone.stage_costs(part) for part in range(len(alone.parts))]
    units = paid(committee, store)
    assert len({route for _, route, _ in units}) > 1
    assert [known[part][route] for part, route, _ in units] == [cost for *_, cost in units]


@pytest.mark.parametrize("cost", ["flops", "usd"])
@pytest.mark.parametrize("policy", SEARCHED)
def test_of_every_kind_of_policy(policy, cost, store):
    check(searched(store, policy, cost), store)


def test_of_a_mixture_and_of_a_committee_that_abstains(store):
    found = wc.search(store, max_models=3, levels=6)
    several = [e.committee for e in found if len(e.committee.stages) > 1]
    check(mixture(several[0], several[-1], 0.4), store)
    check(abstaining(several[-1], [(0.6, None)] * len(several[-1].stages)), store)


def test_of_stages_whose_members_run_at_the_same_time(store):
    members = {name: {"blocks": blocks} for name, blocks in TRUNK.items()}
    committee = Committee((("a", "b"), ("c",)), Thresholds((0.8,)), cost="usd", members=members)
    costs = recorded_costs(store, "val", store.cards("val"), "usd")
    check(replace(committee, **costs), store)
    check(replace(committee, **costs, parallel=("usd",)), store)
    check(replace(committee, cost="flops", parallel=("flops",)), store)


def test_a_cost_that_varies_per_unit_is_null(store):
    committee = Committee((("c",), ("a",), ("b",)), Thresholds((0.9, 0.9)), cost="tokens")
    committee = replace(committee, **recorded_costs(store, "val", store.cards("val"), "tokens"))
    assert committee.to_json()["costs"] == {"a": None, "b": None, "c": 7.25}
    assert committee.stage_costs() == {(0,): 7.25, (0, 1): None, (0, 1, 2): None}
    assert all(cost == 7.25 for _, route, cost in paid(committee, store) if route == (0,))


def test_blocks_are_not_shared_beside_a_cost_that_varies(tmp_path):
    rng = np.random.default_rng(0)
    store = LogitStore(tmp_path / "logits")
    for name in TRUNK:
        varying = {"unit_costs": {"flops": rng.integers(50, 70, N).astype(float)}} if name == "c" else {}
        outputs = rng.normal(size=(N, 2)).astype(np.float32)
        store.add(ModelCard(name, blocks=TRUNK[name]), "val", outputs=outputs, labels=np.arange(N) % 2, **varying)
    members = {name: {"blocks": blocks} for name, blocks in TRUNK.items()}
    committee = Committee((("a",), ("b",), ("c",)), Thresholds((0.6, 0.6)), members=members)
    committee = replace(committee, **recorded_costs(store, "val", store.cards("val"), "flops"))
    known = committee.stage_costs()
    assert known == {(0,): 10, (0, 1): 33, (0, 1, 2): None}
    assert all(known[route] in (None, cost) for _, route, cost in paid(committee, store))


def test_a_file_without_costs_says_that_they_are_unknown(store):
    committee = Committee((("a",), ("b",)), Thresholds((0.8,)), cost="usd")
    assert committee.stage_costs() == {(0,): None, (0, 1): None}


@pytest.mark.parametrize("costs", [[], {"a": -1}, {"a": "dear"}, {"a": True}, {"a": {"x": None}}, {"a": [1]}])
def test_costs_that_are_none_are_refused(costs):
    with pytest.raises(CommitteeError, match="cost"):
        Committee.from_json({"version": 1, "stages": [["a"]], "costs": costs})


def test_a_search_records_the_costs_and_equality_does_not_see_them(store):
    choice = wc.search_and_choose(
        store, Query(cost="usd", max_models=2, levels=6), selection=Selection(choose="best", folds=0)
    )
    committee = choice.val.committee
    assert committee.to_json()["costs"] == {name: PRICES[name] for name in sorted(committee.models)}
    assert replace(committee, costs={}, provenance=None) == committee
    assert replace(committee, costs={}, provenance=None).fingerprint == committee.fingerprint
