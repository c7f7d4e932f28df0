"""Measured costs: what is measured, against a clock of our own; what reaches the cards; the command."""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import wisecommittee.cli  # noqa: E402
from torch import nn  # noqa: E402

from wisecommittee.committees.cards import ModelCard  # noqa: E402
from wisecommittee.deployment.bench import bench_models  # noqa: E402
from wisecommittee.errors import StoreError, UnknownNameError, UsageError, WiseCommitteeError  # noqa: E402
from wisecommittee.extraction import timing as timing_module  # noqa: E402
from wisecommittee.extraction.models.loaded import wrap_module  # noqa: E402
from wisecommittee.extraction.timing import Quartiles, device_name  # noqa: E402
from wisecommittee.store import LogitStore  # noqa: E402

torch.set_num_threads(1)
QUICK = {"seconds": 0.01, "batch_size": 4, "device": "cpu"}


class Clock:
    """Stands still between the passes of a Sleeper."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing_module, "time", made)
    return made


class Sleeper(nn.Module):
    """Takes 2 ms, and 1 ms more for each unit, by a clock of ours."""

    def __init__(self, clock):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.batches, self.clock = [], clock

    def forward(self, x):
        if x.device.type != "meta":
            self.batches.append(len(x))
            self.clock.now += 0.002 + 0.001 * len(x)
        return self.linear(x)


@pytest.fixture
def store(tmp_path):
    """Two models in val, one of them in test too."""
    made = LogitStore(tmp_path / "logits")
    rng = np.random.default_rng(0)
    for split, names in (("val", ("net/0", "net/1")), ("test", ("net/0",))):
        for name in names:
            card = ModelCard(
                name, blocks={name: 18}, costs={"usd": 0.5}, params=21, input_size=(6,), meta={"data": "d"}
            )
            made.add(card, split, outputs=rng.normal(size=(8, 3)).astype(np.float32), labels=np.arange(8) % 3)
    return made


def net(name="net/0"):
    return wrap_module(nn.Linear(6, 3), name)


def test_latency_and_throughput_are_told_apart(clock):
    module = Sleeper(clock)
    (timing,) = bench_models([wrap_module(module, "net/0")], batch_size=8, seconds=0.1, device="cpu", input_size=(6,))
    assert set(module.batches) == {1, 8}
    assert module.batches == sorted(module.batches)
    assert timing.latency.median == pytest.approx(3)
    assert timing.batch.median == pytest.approx(10 / 8)
    assert (timing.latency.runs, timing.batch.runs) == (34, 10)  # of 3 and 10 ms in 0.1 s
    assert timing.throughput == pytest.approx(1e3 / timing.batch.median)
    for spread in (timing.latency, timing.batch):
        assert spread.q1 <= spread.median <= spread.q3
        assert spread.runs >= 5
    assert (timing.macs, timing.params, timing.input_shape) == (18, 21, (6,))
    assert (timing.threads, timing.torch) == (torch.get_num_threads(), torch.__version__)
    assert timing.device == device_name(torch.device("cpu"))
    assert timing.device


def test_the_first_passes_are_not_measured(clock):
    class Slow(Sleeper):
        def forward(self, x):
            if x.device.type != "meta" and len(self.batches) < 3:
                clock.now += 0.05
            return super().forward(x)

    (timing,) = bench_models([wrap_module(Slow(clock), "net/0")], input_size=(6,), **QUICK)
    assert timing.latency.q3 == pytest.approx(3)


def test_costs_reach_the_cards(store):
    before = {split: store.outputs("net/0", split).copy() for split in ("val", "test")}
    (timing,) = bench_models([net()], store=store, **QUICK)
    for split in ("val", "test"):
        card = LogitStore(store.files.uri).card("net/0", split)
        assert card.costs == {"usd": 0.5, **timing.costs()}
        assert card.meta["data"] == "d"
        assert card.meta["timing"]["device"] == timing.device
        assert card.meta["timing"]["batch_size"] == 4
        assert card.meta["timing"]["latency_ms_quartiles"][0] <= card.costs["latency_ms"]
        np.testing.assert_array_equal(store.outputs("net/0", split), before[split])
    assert store.card("net/1", "val").costs == {"usd": 0.5}
    assert store.verify() == []
    bench_models([net("anything")], names=["net/1"], store=store, split="val", **QUICK)
    assert {"usd", "latency_ms", "batch_ms"} == set(store.card("net/1", "val").costs)


def test_what_does_not_fit_the_store_is_refused_before_measuring(store):
    module = Sleeper(Clock())
    good = wrap_module(module, "net/0")
    other = wrap_module(nn.Linear(6, 4), "net/1")
    sized = wrap_module(nn.Linear(6, 3), "net/1")
    object.__setattr__(sized, "input_size", (5,))
    for models, message in (
        ([good, net("net/2")], "net/2: not in test, val of .*extract it first"),
        ([good, other], r"net/1 in val has 21 parameters, Linear has 28"),
        ([good, sized], r"net/1 in val ran on inputs of shape \[6\], Linear takes \[5\]"),
    ):
        with pytest.raises(StoreError, match=message):
            bench_models(models, store=store, **QUICK)
    with pytest.raises(StoreError, match="net/1: not in test of"):
        bench_models([good, net("net/1")], store=store, split="test", **QUICK)
    assert not module.batches
    assert store.card("net/0", "val").costs == {"usd": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0; expected a whole number from 1"),
        ({"seconds": 0}, "0 seconds"),
        ({"names": ["a", "b"]}, "2 values of names= for 1 models"),
        ({"device": "abacus"}, "try auto or cpu"),
        ({"input_size": None}, "net/0: Linear does not say its input size; give one with input_size="),
        ({"sizes": [32]}, r"net/0: inputs of shape \[1, 6\] have no size to change"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        bench_models([net()], **{"input_size": (6,), **QUICK, **options})


def test_wrong_shapes_are_named():
    with pytest.raises(WiseCommitteeError, match=r"net/0: its forward pass raised RuntimeError .*input_size="):
        bench_models([net()], input_size=(5,), **QUICK)


def test_what_cannot_be_counted_is_measured():
    class Distances(nn.Module):
        def forward(self, x):
            return torch.cdist(x, x)

    (timing,) = bench_models([wrap_module(Distances(), "d")], input_size=(6,), **QUICK)
    assert timing.macs is None
    assert timing.to_json()["flops"] is None


def test_sizes_and_views_are_models_of_their_own(torchvision):
    names = [
        (t.model, t.input_shape)
        for t in bench_models(
            ["torchvision:squeezenet1_1"], random_weights=True, sizes=[32, 64], views=["center", "flip"], **QUICK
        )
    ]
    assert names == [
        ("squeezenet1_1@32", (3, 32, 32)),
        ("squeezenet1_1@32+flip", (2, 3, 32, 32)),
        ("squeezenet1_1@64", (3, 64, 64)),
        ("squeezenet1_1@64+flip", (2, 3, 64, 64)),
    ]
    with pytest.raises(UnknownNameError, match="unknown view"):
        bench_models(["torchvision:squeezenet1_1"], random_weights=True, views=["sideways"], **QUICK)


def test_json_has_no_more_digits_than_a_clock():
    (timing,) = bench_models([net()], input_size=(6,), **QUICK)
    made = timing.to_json()
    assert json.loads(json.dumps(made)) == made
    for name in ("latency_ms", "batch_ms", "throughput"):
        assert float(f"{made[name]:.6g}") == made[name]
    assert Quartiles(1.0, 2.0, 3.0, 5).median == 2.0


# The command


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Exit code and what is printed by `wisecommittee bench-models ..`, beside a module of the user's."""
    (tmp_path / "timed_nets.py").write_text("from torch import nn\ndef small(): return nn.Linear(6, 3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*arguments):
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(sys, "argv", ["wisecommittee", "bench-models", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            wisecommittee.cli.main()
        return caught.value.code, *capsys.readouterr()

    return run


def test_the_command(command, store):
    quick = ["--seconds", "0.01", "--batch-size", "4", "--device", "cpu"]
    named = ["timed_nets:small", "--name", "net/1", "--store", store.files.uri]
    code, out, _ = command(*named, *quick, "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["batch_size"] == 4
    (listed,) = printed["models"]
    assert store.card("net/1", "val").costs["latency_ms"] == listed["latency_ms"]
    assert (listed["model"], listed["flops"], listed["input_shape"]) == ("net/1", 18, [6])
    code, out, _ = command("timed_nets:small", "--input-size", "6", *quick)
    assert code == 0
    assert "small" in out
    assert torch.__version__ in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["timed_nets:small"], 2, "does not say its input size"),
        (["timed_nets:small", "--input-size", "3x224"], 2, "--input-size '3x224': expected whole numbers"),
        (["timed_nets:small", "--sizes", "240,"], 2, "--sizes '240,'"),
        (["timed_nets:small", "--store", "nowhere"], 1, "small: not in an empty store of"),
        (["timed_nets:tiny"], 2, "unknown name in timed_nets 'tiny'"),
    ],
)
def test_the_command_fails_in_one_line(arguments, code, message, command):
    found, _, err = command(*arguments)
    (line,) = err.splitlines()
    assert (found, message in line) == (code, True), line
