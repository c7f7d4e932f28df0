"""What becomes of a predicted saving: the overhead of a stage, and times in turns, by a clock of ours."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import wisecommittee as wc
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.deployment import interleaved, timed_run
from wisecommittee.deployment.bench import bench_models
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.interleaved import at_batch_size
from wisecommittee.deployment.stage_overhead import measure_overhead
from wisecommittee.deployment.timed_run import TimedRun
from wisecommittee.deployment.units import Units
from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.runtime.combination import Combination
from wisecommittee.searches.small_networks import SMALL, small_networks

torch.set_num_threads(1)
CPU = torch.device("cpu")
JUDGING = 0.003  # seconds that a decision takes by our clock


class Clock:
    """Stands still but for decisions, and for the passes of `Working`."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Working(nn.Module):
    """Takes so many seconds for each unit; its inputs are its outputs."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        self.clock.now += self.seconds * len(x)
        return x * self.weight


@pytest.fixture
def clock(monkeypatch):
    made, judge = Clock(), Combination.judge

    def judged(self, ran):
        made.now += JUDGING
        return judge(self, ran)

    monkeypatch.setattr(Combination, "judge", judged)
    for module in (timed_run, interleaved):
        monkeypatch.setattr(module, "time", made)
    return made


def test_the_overhead_is_what_a_stage_takes_when_its_members_take_nothing(clock):
    found = measure_overhead((3, 4, 4), 5, CPU, 8, 0.1)
    assert found.costs["latency_ms"] == pytest.approx(1e3 * JUDGING)  # three stages of one unit, a decision each
    assert found.costs["batch_ms"] == pytest.approx(1e3 * 2 * JUDGING / (8 + 4))  # two decisions; half go on
    assert (found.conditions["batch_size"], found.conditions["input_shape"]) == (8, [3, 4, 4])
    assert found.conditions["classes"] == 5
    low, high = found.conditions["batch_ms_quartiles"]
    assert low <= found.costs["batch_ms"] <= high
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    alone = measure_overhead((3, 4, 4), 5, CPU, 1, 0.1)
    assert alone.costs["batch_ms"] == alone.costs["latency_ms"]


def subjects(clock, units=64):
    """A cascade whose first stage takes 1 ms, its second 10 ms a unit, and the second model alone. Every fourth unit
    goes on."""
    models = {name: wrap_module(Working(clock, ms / 1e3), name) for name, ms in (("small", 1), ("large", 10))}
    logits = torch.tensor([[0.2, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]]).repeat(units // 4, 1)
    ids, inputs = [str(unit) for unit in range(units)], Units.of_tensors({None: logits})
    committees = Committee((("small",), ("large",)), Thresholds((0.6,))), Committee((("large",),))
    return [TimedRun(Deployed(c, models, device="cpu", batch_size=units), inputs, ids) for c in committees]


@pytest.mark.parametrize("size", [1, 8, 64])
def test_measured_and_predicted_savings_are_of_the_same_units(clock, size, monkeypatch):
    """On all 64 units of a round: 1 + 10 / 4 ms of passes against 10; a decision after each pass over a call."""
    runs = subjects(clock)
    monkeypatch.setattr(interleaved, "LEAST_UNITS", 64)
    found = at_batch_size(runs, [3.5, 10.0], size, 0.1)
    (single,) = found.singles
    decision = 1e3 * JUDGING / size
    assert found.batch_size == size
    assert found.rounds >= 5
    assert (single.model, single.time.median) == ("large", pytest.approx(10 + decision))
    assert single.by_flops == pytest.approx(10 / 3.5)
    assert single.by_latency.median == pytest.approx(10 / 3.5)
    if size == 1:
        assert found.time.median == pytest.approx(3.5 + 1.25 * decision)
    if size == 64:
        assert found.time.median == pytest.approx(3.5 + 2 * decision)
        assert single.speedup.median == pytest.approx((10 + decision) / (3.5 + 2 * decision))
    assert single.of_flops == pytest.approx(single.speedup.median / single.by_flops)
    assert single.of_latency.median == pytest.approx(single.speedup.median / single.by_latency.median)
    printed = found.to_json()
    assert json.loads(json.dumps(printed, allow_nan=False)) == printed
    assert printed["singles"][0]["realised"]["flops"] == pytest.approx(single.of_flops, rel=1e-5)


def test_without_multiply_adds_nothing_is_predicted_by_them(clock):
    found = at_batch_size(subjects(clock), [None, 10.0], 64, 0.01)
    assert found.singles[0].by_flops is None
    assert found.to_json()["singles"][0]["predicted"]["flops"] is None


def test_every_unit_is_timed_as_often_as_any_other():
    calls = interleaved._calls(10, 4)
    seen = np.concatenate([rows for _ in range(5) for rows in next(calls)])
    assert len(seen) == 5 * 2 * 4
    assert set(np.bincount(seen).tolist()) == {4}


def test_bench_models_records_the_overhead_and_searches_charge_it(tmp_path):
    store, rng = wc.LogitStore(tmp_path / "logits"), np.random.default_rng(0)
    for name in ("net/0", "net/1"):
        card = ModelCard(name, blocks={name: 18}, params=21, input_size=(6,))
        store.add(card, "val", outputs=rng.normal(size=(40, 3)).astype(np.float32), labels=np.arange(40) % 3)
    models = [wrap_module(nn.Linear(6, 3), name) for name in ("net/0", "net/1")]
    bench_models(models, store=store, seconds=0.01, batch_size=4, device="cpu")
    overhead = store.stage_overhead()
    assert set(overhead.costs) == {"latency_ms", "batch_ms"}
    assert (overhead.conditions["input_shape"], overhead.conditions["classes"]) == ([6], 3)
    committee = Committee((("net/0",), ("net/1",)), Thresholds((0.5,)), cost="latency_ms")
    found = wc.evaluate(committee, store, "val")
    alone = [store.card(name, "val").costs["latency_ms"] + overhead.costs["latency_ms"] for name in ("net/0", "net/1")]
    assert found.worst_case_cost == pytest.approx(sum(alone))
    assert found.average_cost == pytest.approx(alone[0] + found.exit_ratios[1] * alone[1])
    assert found.costs["flops"].worst == 36
    assert store.verify() == []


def test_batch_sizes_are_whole_numbers():
    from wisecommittee.deployment.measure import MeasureSetup

    with pytest.raises(UsageError, match="batch sizes 8, 0: expected whole numbers from 1"):
        MeasureSetup(batch_sizes=(8, 0))


@pytest.mark.parametrize(
    ("stages", "cost", "average", "warned"),
    [
        ((("a",), ("b",)), "flops", SMALL / 2, True),
        ((("a",), ("b",)), "flops", SMALL, False),
        ((("a", "b"),), "flops", SMALL / 2, False),
        ((("a",), ("b",)), "latency_ms", 1, False),
        ((("a",), ("b",)), "usd", 1, False),
    ],
)
def test_cascades_of_small_networks_are_told_that_time_is_another_matter(stages, cost, average, warned):
    committee = Committee(stages, Thresholds((0.5,) * (len(stages) - 1)), cost=cost)
    sentence = small_networks([SimpleNamespace(committee=committee, average_cost=average)])
    assert (sentence is not None) is warned
