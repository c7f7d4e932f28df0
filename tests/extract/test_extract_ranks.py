"""Several ranks, two processes on the CPU: the store they write together is the one a single process writes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from processes import HUNG, ended

from wisecommittee.errors import UsageError
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.run.planning import make_plan
from wisecommittee.extraction.run.ranks import Ranks, find_ranks, own_device
from wisecommittee.extraction.run.settings import Settings
from wisecommittee.store import LogitStore

torch.set_num_threads(1)

NETS = """
import os, signal
import numpy as np
import torch
from torch import nn
from wisecommittee.extraction.models.preprocess import Preprocess

def net(hidden, features=6):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 3))

class Small(nn.Module):
    '''Killed at forward pass number STOP_AT of rank STOP_RANK.'''
    calls = 0
    def __init__(self):
        super().__init__()
        self.net = net(8)
    def forward(self, x):
        if x.device.type != "meta":
            Small.calls += 1
        if str(Small.calls) == os.environ.get("STOP_AT") and os.environ.get("RANK") == os.environ.get("STOP_RANK"):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(x)

def large(): return net(16)

def pixels(): return nn.Sequential(nn.Flatten(), net(4, 48))
pixels.preprocess = Preprocess("plain", (3, 4, 4), lambda image: torch.from_numpy(np.array(image)).float() / 255)

def data(n=12_100):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(n) % 3

def broken():
    x, y = data(4_000)
    x[3_500] = torch.nan
    return x, y

def stream():
    x, y = data()
    yield x, y
"""

SCRIPT = """
import os, sys
import torch
from torch import distributed
torch.set_num_threads(1)
connected = sys.argv[1] != "environment"
where = "file://" + sys.argv[1] if connected else "env://"
rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=count)
if not connected:
    distributed.destroy_process_group()
from wisecommittee.errors import WiseCommitteeError
from wisecommittee.extraction.extract import extract
from wisecommittee.store import LogitStore
options = eval(sys.argv[3])
try:
    done = extract(options.pop("models"), sys.argv[2], "val", LogitStore("logits"), **options)
except WiseCommitteeError as error:
    print("error:", error, file=sys.stderr)
    done = None
if connected:
    distributed.destroy_process_group()
if done is None:
    sys.exit(1)
print(*(f"{item.card.model}:{item.status}:{item.card.contents.rows}" for item in done))
"""
MODELS = ["user_nets_of_ranks:Small", "user_nets_of_ranks:large"]
DATA = "user_nets_of_ranks:data"


@pytest.fixture(autouse=True)
def nets(tmp_path, monkeypatch):
    """A user's module in the current folder, a cache and no ranks of its own."""
    (tmp_path / "user_nets_of_ranks.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    sys.modules.pop("user_nets_of_ranks", None)


def start(rank, meeting, data=DATA, *, world=2, environment=None, **options):
    options = {"models": MODELS, "batch_size": 700, "device": "cpu"} | options
    options["macs"] = [100] * len(options["models"])  # counting would import much in every process
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(meeting), data, repr(options)],
        env=os.environ | {"RANK": str(rank), "WORLD_SIZE": str(world)} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(*processes):
    """(exit code, stdout, stderr) of each."""
    with ended(*processes):
        texts = [process.communicate(timeout=HUNG) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def together(tmp_path, name, data=DATA, **options):
    meeting = tmp_path / f"meeting-{name}"
    return end(*(start(rank, meeting, data, **options) for rank in (0, 1)))


def same_as_single(tmp_path, models, data, **options):
    """The store of the ranks and that of one process: equal bits, units in the same order."""
    store, single = LogitStore(tmp_path / "logits"), LogitStore(tmp_path / "single")
    done = extract(models, data, "val", single, batch_size=options.pop("batch_size", 700), device="cpu", **options)
    assert store.models("val") == tuple(sorted(item.card.model for item in done))
    assert store.unit_ids("val") == single.unit_ids("val")
    np.testing.assert_array_equal(store.labels("val"), single.labels("val"))
    for item in done:
        name = item.card.model
        np.testing.assert_array_equal(store.outputs(name, "val"), single.outputs(name, "val"))
        assert store.card(name, "val").contents.content == item.card.contents.content
    assert store.verify() == []
    return store


def test_two_ranks(tmp_path):
    done = together(tmp_path, "a")
    assert [code for code, _, _ in done] == [0, 0], done
    assert {out.strip() for _, out, _ in done} == {"Small:added:12100 large:added:12100"}
    store = same_as_single(tmp_path, MODELS, DATA)
    ranks = [int(part.file.split("-")[1]) for part in store.card("Small", "val").contents.parts]
    assert ranks == [0, 0, 1, 1]


def test_a_killed_rank_and_a_rerun(tmp_path):
    # Rank 1 has rows 6,300 to 12,100: 9 batches. Calls 1 to 4 are probes; call 12 is its batch 8, after 4,900 rows.
    kill = {"STOP_AT": "12", "STOP_RANK": "1"}
    (zero, one) = together(tmp_path, "a", environment=kill)
    assert one[0] == -signal.SIGKILL
    assert zero[0] == 1
    assert "rank 0 of 2: another rank is gone" in zero[2]
    store = LogitStore(tmp_path / "logits")
    assert store.models("val") == ()
    (zero, one) = together(tmp_path, "b")
    assert (zero[0], one[0]) == (0, 0), (zero, one)
    same_as_single(tmp_path, MODELS, DATA)


def test_an_error_of_one_rank_ends_them_all(tmp_path):
    zero, one = together(tmp_path, "a", "user_nets_of_ranks:broken")
    assert (zero[0], one[0]) == (1, 1), (zero, one)
    assert "Small in val: NaN" in one[2]
    assert "in row 3500" in one[2]
    assert "rank 1 of 2 failed: Small in val: NaN" in zero[2]
    assert LogitStore(tmp_path / "logits").models("val") == ()


def test_ranks_need_data_that_can_be_shared_out(monkeypatch):
    monkeypatch.setattr(Ranks, "gather", lambda self, value: [value])
    store, settings = LogitStore("logits"), Settings(device="cpu")
    with pytest.raises(UsageError, match="several ranks need a Dataset with a length, or arrays"):
        make_plan(MODELS, "user_nets_of_ranks:stream", "val", store, Ranks(1, 2), settings)


def test_ranks_need_a_place_to_meet(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match=r"WORLD_SIZE is 2, but .*MASTER_ADDR.*start them with torchrun"):
        extract(MODELS, DATA, "val", LogitStore("logits"))


def test_a_rank_without_units(tmp_path):
    done = together(tmp_path, "a", limit=5)
    assert [code for code, _, _ in done] == [0, 0], done
    same_as_single(tmp_path, MODELS, DATA, limit=5)


def test_ranks_connect_as_torchrun_tells_them(tmp_path):
    """Nobody has called init_process_group, or somebody has and is done with it, as a training is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    done = end(*(start(rank, "environment", environment=where, limit=800) for rank in (0, 1)))
    assert [code for code, _, _ in done] == [0, 0], done
    assert {out.strip() for _, out, _ in done} == {"Small:added:800 large:added:800"}
    same_as_single(tmp_path, MODELS, DATA, limit=800)


def test_corrupt_images_are_left_out_by_all_ranks(tmp_path):
    for number in range(10):
        (tmp_path / "photos" / "abc"[number % 3]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "abc"[number % 3] / f"{number}.png")
    for name in ("a/3.png", "c/5.png"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    data, options = "imagefolder:photos", {"batch_size": 2, "skip_corrupt": True}
    done = together(tmp_path, "a", data, models=["user_nets_of_ranks:pixels"], **options)
    assert [code for code, _, _ in done] == [0, 0], done
    assert "2 images cannot be decoded" in done[0][2]
    assert "cannot be decoded" not in done[1][2]  # said once
    with pytest.warns(UserWarning, match="2 images cannot be decoded"):
        store = same_as_single(tmp_path, ["user_nets_of_ranks:pixels"], data, **options)
    assert len(store.unit_ids("val")) == 8


@pytest.mark.parametrize("units", [1, 6, 7, 100, 101])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shards_are_consecutive_whole_batches(units, batch_size, count):
    shards = [Ranks(rank, count).shard(units, batch_size) for rank in range(count)]
    assert [unit for shard in shards for unit in shard] == list(range(units))
    assert all(shard.start % batch_size == 0 for shard in shards if len(shard))
    assert len(shards[0]) >= 1  # the rank that commits has rows
    batches = [-(-len(shard) // batch_size) for shard in shards]
    assert max(batches) - min(batches) <= 1


def test_who_we_are(monkeypatch):
    assert find_ranks() == Ranks(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert find_ranks() == Ranks(2, 4)
    for rank, world in (("4", "4"), ("-1", "4"), ("one", "4"), ("0", "0")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", world)
        with pytest.raises(UsageError, match=r"RANK .* of WORLD_SIZE .*as torchrun sets them"):
            find_ranks()
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [own_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda:3", "cuda:3", "cuda:1", "cpu"]
