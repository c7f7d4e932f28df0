"""Models + data -> store: against hand-written forward loops, through interruptions, and every refusal."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from processes import HUNG, ended
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from wisecommittee.errors import (
    AbsentError,
    AlignmentError,
    BusyError,
    ContentError,
    CostError,
    StoreError,
    UnknownNameError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.digits import SPLITS, digits
from wisecommittee.extraction.data.spec import open_data, wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.spec import LoadedModel, load_model, state_hash, wrap_module
from wisecommittee.store import LogitStore

torch.set_num_threads(1)

N, FEATURES, CLASSES = 50, 6, 4

NETS = """
import os, signal
import torch
from torch import nn

def net(hidden=8):
    return nn.Sequential(nn.Linear(6, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 4))

def small(): return net(8)
def large(): return net(16)
large.architecture, large.replica = "big", 3
ready = net(5)

class Counted(nn.Module):
    '''Fails at forward pass number STOP_AT: killed, or interrupted from the keyboard.'''
    calls = 0
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)
    def forward(self, x):
        if x.device.type != "meta":
            Counted.calls += 1
        if str(Counted.calls) == os.environ.get("STOP_AT"):
            if os.environ["STOP_BY"] == "keyboard":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGKILL)
        return self.linear(x)

def data(n=12_000):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(n) % 4

def items():
    return torch.utils.data.TensorDataset(*data())

def batches():
    x, y = data()
    for start in range(0, len(x), 700):
        yield x[start : start + 700], y[start : start + 700]

def broken(): raise ValueError("no such layer")
def lazy(): return nn.LazyLinear(4)
def unstable():
    module = net()
    module[0].bias.data.fill_(int.from_bytes(os.urandom(3), "big"))
    return module
number = 7
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A user's module in the current folder."""
    (tmp_path / "user_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    yield "user_nets"
    sys.modules.pop("user_nets", None)


@pytest.fixture
def store(tmp_path):
    return LogitStore(tmp_path / "logits")


def rows(n=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, FEATURES, generator=generator), torch.randint(0, CLASSES, (n,), generator=generator)


def net(hidden=8, seed=0):
    torch.manual_seed(seed)
    made = nn.Sequential(
        nn.Linear(FEATURES, hidden), nn.BatchNorm1d(hidden), nn.Dropout(0.5), nn.Linear(hidden, CLASSES)
    )
    made(torch.randn(64, FEATURES))  # running statistics that matter
    return made


def by_hand(module, x):
    module.eval()
    with torch.no_grad():
        return np.stack([module(row[None])[0].numpy() for row in x])


class Items(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i].numpy(), int(self.y[i]), f"image-{i}"


class Stream(IterableDataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        yield from zip(self.x, self.y, strict=True)


PLAIN_IDS = [str(i) for i in range(N)]
PHOTOS = np.array([f"photo-{i}" for i in range(N)])
SHAPES_OF_DATA = [
    pytest.param(lambda x, y: Items(x, y), [f"image-{i}" for i in range(N)], id="dataset with ids"),
    pytest.param(lambda x, y: TensorDataset(x, y), PLAIN_IDS, id="dataset"),
    pytest.param(lambda x, y: Stream(x, y), PLAIN_IDS, id="stream"),
    pytest.param(lambda x, y: DataLoader(TensorDataset(x, y), batch_size=9), PLAIN_IDS, id="loader"),
    pytest.param(lambda x, y: iter([(x[:7], y[:7]), (x[7:], y[7:])]), PLAIN_IDS, id="one-shot batches"),
    pytest.param(lambda x, y: (x.numpy(), y.numpy()), PLAIN_IDS, id="arrays"),
    pytest.param(
        lambda x, y: (x.double(), y, np.arange(N) + 100), [str(i + 100) for i in range(N)], id="arrays with ids"
    ),
]


@pytest.mark.parametrize(("make", "unit_ids"), SHAPES_OF_DATA)
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
def test_equals_a_hand_written_loop(make, unit_ids, batch_size, store):
    x, y = rows()
    module = net().train()
    done = extract(
        [wrap_module(module, "net/0")], wrap_data(lambda: make(x, y), "test"), "val", store, batch_size=batch_size
    )
    assert [(item.card.model, item.split, item.status) for item in done] == [("net/0", "val", "added")]
    np.testing.assert_allclose(store.outputs("net/0", "val"), by_hand(module, x), atol=1e-6)
    assert store.labels("val").tolist() == y.tolist()
    assert store.unit_ids("val") == unit_ids
    assert store.verify() == []


def test_the_card(nets, store, tmp_path):
    torch.save({"state_dict": net(8).state_dict()}, tmp_path / "w.pt")
    (item,) = extract(["user_nets:ready"], "user_nets:data", "val", store, limit=30)
    card = item.card
    assert card == store.card("ready", "val")
    assert (card.model, card.architecture, card.replica, card.kind) == ("ready", "ready", 0, "logits")
    assert card.blocks == {"ready": 6 * 5 + 5 * 4}
    assert card.params == 6 * 5 + 5 + 2 * 5 + 5 * 4 + 4
    assert card.input_size == (6,)
    assert card.origin == "user_nets:ready"
    assert card.meta["data"] == "user_nets:data"
    assert (card.contents.rows, card.contents.classes, card.contents.dtype) == (30, 4, "float32")


def test_weights_file(nets, store, tmp_path):
    trained = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))
    for name, content in (("bare", trained.state_dict()), ("nested", {"state_dict": trained.state_dict(), "epoch": 3})):
        torch.save(content, tmp_path / f"{name}.pt")
        (item,) = extract([f"user_nets:small@{name}.pt"], "user_nets:data", "val", store, limit=20, names=[f"{name}/2"])
        assert item.card.weights == hashlib.sha256((tmp_path / f"{name}.pt").read_bytes()).hexdigest()
        assert (item.card.architecture, item.card.replica) == (name, 2)
        x = torch.randn(12_000, 6, generator=torch.Generator().manual_seed(1))
        x = x[list(map(int, store.unit_ids("val")))]
        np.testing.assert_allclose(store.outputs(f"{name}/2", "val"), by_hand(trained, x), atol=1e-6)
    random = load_model("user_nets:small@bare.pt", random_weights=True)
    assert random.weights == load_model("user_nets:small").weights
    assert random.meta["random_weights"] is True


def test_names_come_from_the_factory(nets):
    large, small = load_model("user_nets:large"), load_model("user_nets:small")
    assert (large.name, large.architecture, large.replica) == ("large", "big", 3)
    assert (small.name, small.architecture, small.replica) == ("small", "small", 0)


def test_a_factory_without_weights_gives_the_same_model_at_every_start(nets):
    first = load_model("user_nets:small")
    torch.manual_seed(12345)
    state = torch.random.get_rng_state()
    assert load_model("user_nets:small").weights == first.weights
    assert torch.equal(torch.random.get_rng_state(), state)
    assert load_model("user_nets:small", "small/1").weights != first.weights


def test_a_factory_that_gives_another_model_at_every_start_is_refused(nets, store):
    with pytest.raises(ContentError, match=r"weights differ from one loading to the next.*user_nets:unstable@FILE"):
        extract(["user_nets:unstable"], "user_nets:data", "val", store, limit=10)
    assert store.models("val") == ()


def test_the_state_hash_sees_values_names_and_types():
    def made(**changes):
        module = nn.Linear(2, 2)
        nn.init.constant_(module.weight, changes.get("value", 1.0))
        nn.init.zeros_(module.bias)
        return module.to(changes.get("dtype", torch.float32))

    assert state_hash(made()) == state_hash(made())
    variants = [made(), made(value=1.0000001), made(dtype=torch.float64), nn.Sequential(made())]
    assert len({state_hash(module) for module in variants}) == len(variants)


# The same thing twice


def test_again_is_unchanged_and_anything_else_needs_replace(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")
    extract([wrap_module(net(), "net/0")], data, "val", store)
    before = np.array(store.outputs("net/0", "val"))
    (again,) = extract([wrap_module(net(), "net/0")], data, "val", store, batch_size=7)
    assert again.status == "unchanged"
    other = net(seed=1)
    with pytest.raises(StoreError, match=r"net/0 is in val already with other weights.*--replace"):
        extract([wrap_module(other, "net/0")], data, "val", store)
    with pytest.raises(StoreError, match="other data"):
        extract([wrap_module(net(), "net/0")], wrap_data(lambda: (x, y), "elsewhere"), "val", store)
    with pytest.raises(StoreError, match="other dtype"):
        extract([wrap_module(net(), "net/0")], data, "val", store, dtype="float16")
    np.testing.assert_array_equal(store.outputs("net/0", "val"), before)
    (replaced,) = extract([wrap_module(other, "net/0")], data, "val", store, replace=True)
    assert replaced.status == "replaced"
    np.testing.assert_allclose(store.outputs("net/0", "val"), by_hand(other, x), atol=1e-6)


def test_changed_code_with_the_same_weights_is_noticed(store):
    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")
    extract([wrap_module(net(), "net/0")], data, "val", store)
    changed = Doubled(*net())
    assert state_hash(changed) == state_hash(net())
    with pytest.raises(StoreError, match=r"same weights but other outputs.*--replace"):
        extract([wrap_module(changed, "net/0")], data, "val", store)


def test_a_new_cost_updates_the_card_only(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")
    (first,) = extract([wrap_module(net(), "net/0")], data, "val", store)
    (second,) = extract([wrap_module(net(), "net/0")], data, "val", store, macs=[123])
    assert (first.status, second.status) == ("added", "card updated")
    assert store.card("net/0", "val").blocks == {"net/0": 123}
    assert second.card.contents == first.card.contents
    store.update_card("val", second.card, lambda found: dataclasses.replace(found, costs={"usd": 0.5}))
    (third,) = extract([wrap_module(net(), "net/0")], data, "val", store, macs=[123], training_costs=[1e12])
    assert (third.status, third.card.training_cost, third.card.costs) == ("card updated", 1e12, {"usd": 0.5})
    (fourth,) = extract([wrap_module(net(), "net/0")], data, "val", store, macs=[123])
    assert (fourth.status, fourth.card) == ("unchanged", third.card)


# Interruptions


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith((".lock", ".turn"))  # a killed writer's; the next one takes them
    }


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from wisecommittee.extraction.extract import extract
from wisecommittee.store import LogitStore
extract(["user_nets:Counted"], sys.argv[1], "val", LogitStore("logits"), batch_size=700)
"""


@pytest.mark.parametrize("data", ["user_nets:items", "user_nets:batches"])
def test_a_killed_run_continues_to_the_same_bytes(nets, tmp_path, data):
    # Call 1 is the probe; call 15 is batch 14 of 18, rows 9,100 to 9,800. At most five batches are on their way to the
    # store, so the first part of 5,000 rows is whole by then.
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, data], env=os.environ | {"STOP_AT": "18", "STOP_BY": "kill"}, timeout=HUNG
    )
    assert killed.returncode == -signal.SIGKILL
    store = LogitStore(tmp_path / "logits")
    assert store.models("val") == ()
    calls = load_model("user_nets:Counted").module
    (item,) = extract(["user_nets:Counted"], data, "val", store, batch_size=700)
    # The probe and rows 4,900 to 12,000: 11 batches instead of 18.
    assert type(calls).calls == 4 + 11
    assert (item.status, item.card.contents.rows) == ("added", 12_000)
    whole = LogitStore(tmp_path / "whole")
    extract(["user_nets:Counted"], data, "val", whole, batch_size=700)
    assert tree(tmp_path / "logits") == tree(tmp_path / "whole")
    assert store.verify() == []


def test_from_the_keyboard(nets, store, monkeypatch):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "16")
    seen = []
    with pytest.raises(KeyboardInterrupt):
        extract(["user_nets:Counted"], "user_nets:data", "val", store, batch_size=700)
    monkeypatch.delenv("STOP_AT")
    progress = lambda *report: seen.append(report)  # noqa: E731
    extract(["user_nets:Counted"], "user_nets:data", "val", store, batch_size=700, progress=progress)
    assert seen[0] == ("Counted in val", 5_000, 12_000)
    assert seen[-1] == ("Counted in val", 12_000, 12_000)
    done = [report[1] for report in seen]
    assert done == sorted(done)


SLOW_ITEMS = """
import sys, time
class Items:
    def __len__(self): return 5_000
    def __getitem__(self, i):
        if i == 500: print("reading", flush=True)
        time.sleep(0.002)
        return torch.ones(6), i % 4
slow = Items()
"""


def test_ctrl_c_ends_loading_processes_too_and_says_one_line(nets, tmp_path):
    """The terminal sends SIGINT to the whole process group."""
    (tmp_path / "user_nets.py").write_text(NETS + SLOW_ITEMS)
    code = "from wisecommittee.cli import main; main()"
    arguments = ["extract", "user_nets:small", "--data", "user_nets:slow", "--workers", "2", "--store", "logits"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with ended(process):
        assert process.stdout.readline() == "reading\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=HUNG)
    assert (process.returncode, out) == (130, "")
    assert len(err.splitlines()) == 1, err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_rows_of_other_code_are_not_continued(nets, store, monkeypatch, tmp_path):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "16")
    with pytest.raises(KeyboardInterrupt):
        extract(["user_nets:Counted"], "user_nets:data", "val", store, batch_size=700)
    monkeypatch.delenv("STOP_AT")
    sys.modules["user_nets"].Counted.forward = lambda self, x: self.linear(-x)
    extract(["user_nets:Counted"], "user_nets:data", "val", store, batch_size=700)
    linear = load_model("user_nets:Counted").module.linear
    x = torch.randn(12_000, 6, generator=torch.Generator().manual_seed(1))
    expected = -x.numpy() @ linear.weight.numpy().T + linear.bias.numpy()
    np.testing.assert_allclose(store.outputs("Counted", "val"), expected, atol=1e-5)


# What a forward pass may return, and what not


class Returns(nn.Module):
    def __init__(self, change, classes=CLASSES):
        super().__init__()
        self.linear, self.change = nn.Linear(FEATURES, classes), change

    def forward(self, x):
        return self.change(self.linear(x))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda y: SimpleNamespace(logits=y, hidden=None), id=".logits"),
        pytest.param(lambda y: {"logits": y, "hidden": y}, id="dict with logits"),
        pytest.param(lambda y: {"out": y}, id="dict of one"),
        pytest.param(lambda y: (y,), id="tuple of one"),
        pytest.param(lambda y: y.double(), id="double"),
    ],
)
def test_outputs_that_are_understood(change, store):
    x, y = rows()
    torch.manual_seed(0)
    module = Returns(change)
    extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store)
    with torch.no_grad():
        np.testing.assert_allclose(store.outputs("net/0", "val"), module.linear(x).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda y: (y, y), r"returned a tuple; expected a tensor of logits", id="two tensors"),
        pytest.param(lambda y: {"a": y, "b": y}, r"returned a dict with a, b", id="dict of two"),
        pytest.param(lambda y: y[:, :, None], r"shape \[2, 4, 1\] for 2 units", id="three dimensions"),
        pytest.param(lambda y: y[:1], r"shape \[1, 4\] for 2 units", id="rows lost"),
        pytest.param(lambda y: y[:, :1], r"2 classes or more", id="one class"),
        pytest.param(lambda y: y.argmax(1), r"torch.int64 outputs", id="predictions"),
        pytest.param(lambda y: y / 0 * 0, r"(?i)bad/0 in val: nan .*in row 0", id="nan"),
        pytest.param(lambda y: y.nonsense(), r"forward pass raised AttributeError", id="raises"),
    ],
)
def test_outputs_that_are_refused_before_anything_is_written(change, message, store):
    x, y = rows()
    good, bad = wrap_module(net(), "good/0"), wrap_module(Returns(change), "bad/0")
    with pytest.raises(WiseCommitteeError, match=message) as caught:
        extract([good, bad], wrap_data(lambda: (x, y), "test"), "val", store)
    assert "bad/0 in val" in str(caught.value)
    assert store.models("val") == ()
    assert store.splits() == ()


def test_a_nan_far_into_the_data_leaves_no_model(store):
    x, y = rows()
    x[40] = torch.nan
    with pytest.raises(ContentError, match=r"(?i)net/0 in val: nan "):
        extract([wrap_module(net(), "net/0")], wrap_data(lambda: (x, y), "test"), "val", store, batch_size=8)
    assert store.models("val") == ()


def test_softmax_outputs_are_warned_about(store):
    x, y = rows()
    module = nn.Sequential(nn.Linear(FEATURES, CLASSES), nn.Softmax(1))
    with pytest.warns(UserWarning, match="net/0 in val: its outputs look like probabilities"):
        extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store)


class Noisy(nn.Module):
    """Dropout that eval mode leaves on, noise, or statistics of the batch."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm, self.kind = nn.Linear(FEATURES, CLASSES), nn.BatchNorm1d(FEATURES), kind

    def train(self, mode=True):
        super().train(mode)
        self.norm.train()
        return self

    def forward(self, x):
        if self.kind == "dropout":
            return self.linear(nn.functional.dropout(x, 0.2))
        if self.kind == "noise":
            return self.linear(x) + 0.05 * torch.randn(len(x), CLASSES)
        return self.linear(self.norm(x))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dropout", r"net in val: its outputs differ from one pass to the next, by up to \d.* dropout or noise is on"),
        ("noise", r"net in val: its outputs differ from one pass to the next, by up to 0\.\d"),
        ("batch", r"net in val: the outputs of a unit depend on the others in its batch, .* into eval mode"),
    ],
)
def test_outputs_that_differ_from_pass_to_pass_are_refused(kind, message, store):
    x, y = rows()
    with pytest.raises(ContentError, match=message):
        extract([wrap_module(Noisy(kind), "net")], wrap_data(lambda: (x, y), "test"), "val", store)
    assert store.models("val") == ()


def test_uncounted_models_need_declared_macs(store):
    x, y = rows()
    module = Returns(lambda y: y + torch.cdist(y[:, :, None], y[:, :, None]).sum(2))
    data = wrap_data(lambda: (x, y), "test")
    with pytest.raises(CostError, match=r"net/0: no multiply-add formula for _cdist_forward.*--macs N"):
        extract([wrap_module(module, "net/0")], data, "val", store)
    (item,) = extract([wrap_module(module, "net/0")], data, "val", store, macs=[24])
    assert item.card.blocks == {"net/0": 24}


def test_models_of_a_split_must_fit_together(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")

    def run(*models, **options):
        return extract(models, data, "val", store, **options)

    with pytest.raises(UsageError, match="two models are called 'a/0'"):
        run(wrap_module(net(), "a/0"), wrap_module(net(9), "a/0"))
    with pytest.raises(UsageError, match="both replica 0 of 'a'"):
        run(wrap_module(net(), "a"), wrap_module(net(9), "a/0"))
    with pytest.raises(ContentError, match="wide: 5 classes, a/0 has 4"):
        run(wrap_module(net(), "a/0"), wrap_module(nn.Linear(FEATURES, 5), "wide"))
    assert store.splits() == ()
    run(wrap_module(net(), "a/0"))
    with pytest.raises(ContentError, match="5 classes"):
        run(wrap_module(nn.Linear(FEATURES, 5), "wide"))
    with pytest.raises(AlignmentError, match=r"20 units, val has 50.*another --split"):
        run(wrap_module(net(9), "b/0"), limit=20)
    for changed, message in (((x, (y + 1) % 4), "label"), ((x, y, PHOTOS), "unit 'photo-0'")):
        with pytest.raises(AlignmentError, match=message):
            extract([wrap_module(net(9), "b/0")], wrap_data(lambda c=changed: c, "test"), "val", store, batch_size=N)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param(torch.full((N,), 4), "outside the 4 classes", id="too large"),
        pytest.param(torch.full((N,), -1), "outside the 4 classes", id="negative"),
        pytest.param(torch.full((N,), 0.5), "expected whole numbers", id="fractions"),
        pytest.param(torch.zeros(N, 4), r"labels of shape \[50, 4\]", id="one-hot"),
        pytest.param(torch.zeros(N - 1), "arrays of", id="one missing"),
    ],
)
def test_labels_are_checked(labels, message, store):
    x, _ = rows()
    with pytest.raises(WiseCommitteeError, match=message):
        extract([wrap_module(net(), "net/0")], wrap_data(lambda: (x, labels), "test"), "val", store)
    assert store.splits() == ()


# Specs and options


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("tim:resnet50", UnknownNameError, r"unknown model source 'tim'; did you mean 'timm'.*package.module:factory"),
        ("resnet50", UsageError, r"expected package.module:factory\[@weights-file\] or digits:NAME"),
        ("user_nets:smal", UnknownNameError, "did you mean 'small'"),
        ("user_nets.deeper:small", UsageError, "no module 'user_nets.deeper'"),
        ("user_nets:broken", WiseCommitteeError, "calling it raised ValueError: no such layer"),
        ("user_nets:lazy", UsageError, "'user_nets:lazy': lazy layers without shapes"),
        ("user_nets:number", UsageError, "int is not callable"),
        ("user_nets:data", UsageError, "gave a tuple; expected a torch.nn.Module"),
        ("user_nets:small@none.pt", AbsentError, "no weights file 'none.pt'"),
        ("user_nets:small@other.pt", ContentError, "do not fit"),
        ("user_nets:small@text.pt", ContentError, "holds no plain tensors"),
        ("user_nets:small@module.pt", ContentError, "holds no plain tensors"),
        ("digits:conv99/0", UnknownNameError, "unknown model of the digits pool 'conv99/0'.*conv8/0"),
    ],
)
def test_model_specs_that_are_refused(spec, error, message, nets, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(error, match=message):
        load_model(spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: DataLoader(TensorDataset(*rows()), shuffle=True), "shuffle=False", id="shuffled"),
        pytest.param(lambda: DataLoader(TensorDataset(*rows()), 16, drop_last=True), "drop_last=False", id="dropping"),
        pytest.param(lambda: 7, "a int; expected a Dataset", id="a number"),
        pytest.param(lambda: rows(0), "no units", id="empty"),
    ],
)
def test_data_that_is_refused(make, message):
    with pytest.raises(WiseCommitteeError, match=message):
        wrap_data(make, "test")


def test_data_specs_that_are_refused(nets):
    with pytest.raises(UnknownNameError, match=r"unknown data source 'imagefolders'; did you mean 'imagefolder'"):
        open_data("imagefolders:photos", "val")
    with pytest.raises(UsageError, match=r"expected package.module:factory or digits\[:SPLIT\]"):
        open_data("photos", "val")
    with pytest.raises(UnknownNameError, match=r"unknown split of the digits 'holdout'.*test, train, val"):
        open_data("digits", "holdout")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macs": [1, 2]}, "2 values of --macs for 1 models"),
        ({"training_costs": [1, 2]}, "2 values of --training-cost for 1 models"),
        ({"training_costs": [float("nan")]}, "training cost .*nan.*expected numbers"),
        ({"names": ["a", "b"]}, "2 values of --name"),
        ({"batch_size": 0}, "batch size 0"),
        ({"limit": 0}, "limit 0"),
        ({"dtype": "int8"}, "float32 or float16"),
        ({"device": "abacus"}, "try auto or cpu"),
        ({"precision": "float8"}, "unknown precision 'float8'"),
        ({"layout": "channels"}, "did you mean 'channels_last'"),
        ({"workers": -1}, "-1 workers"),
        ({"sizes": [8]}, r"small: inputs of shape \[2, 6\] have no size to change"),
        ({"views": ["flip"]}, "small: views need preprocessing"),
    ],
)
def test_options_that_are_refused(options, message, nets, store):
    with pytest.raises(UsageError, match=message):
        extract(["user_nets:small"], "user_nets:data", "val", store, **options)


@pytest.mark.parametrize(("limit", "batch_size"), [(1, 8), (8, 8), (13, 8), (500, 8)])
def test_limit(limit, batch_size, store):
    x, y = rows()
    (item,) = extract(
        [wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, limit=limit, batch_size=batch_size
    )
    assert item.card.contents.rows == min(limit, N)
    assert item.card.meta["limit"] == limit
    drawn = list(map(int, store.unit_ids("val")))
    assert drawn == sorted(set(drawn))
    assert store.labels("val").tolist() == y[drawn].tolist()
    np.testing.assert_allclose(store.outputs("n", "val"), by_hand(net(), x[drawn]), atol=1e-6)


SORTED = np.repeat(np.arange(4), [40, 20, 20, 10])  # as folders stand


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda x, y: (x, y), id="arrays"),
        pytest.param(lambda x, y: (x, y.tolist(), [f"u{i}" for i in range(len(y))]), id="lists"),
        pytest.param(lambda x, y: TensorDataset(x, torch.from_numpy(y)), id="dataset"),
    ],
)
def test_a_limit_draws_from_all_classes(make):
    x = torch.arange(90.0)[:, None]
    for limit in (1, 9, 18, 45, 90, 99):
        data = wrap_data(lambda: make(x, SORTED), "t", limit=limit)
        batches = list(data.batches(4))
        rows = [int(row) for batch in batches for row in batch.inputs[:, 0]]
        assert rows == sorted(set(rows))
        assert len(rows) == min(limit, 90) == data.units
        assert [int(label) for batch in batches for label in batch.labels] == SORTED[rows].tolist()
        assert [unit.removeprefix("u") for batch in batches for unit in batch.unit_ids] == list(map(str, rows))
        if not isinstance(make(x, SORTED), TensorDataset):  # whose labels nobody knows beforehand
            counts = np.bincount(SORTED[rows], minlength=4)
            assert all(
                abs(n - share * len(rows)) < 1 for n, share in zip(counts, [4 / 9, 2 / 9, 2 / 9, 1 / 9], strict=True)
            )
        elif limit in (18, 45):
            assert set(SORTED[rows]) == {0, 1, 2, 3}
    again = wrap_data(lambda: make(x, SORTED), "t", limit=45)
    assert [unit for batch in again.batches(45) for unit in batch.unit_ids] == [
        unit for batch in again.batches(7) for unit in batch.unit_ids
    ]
    assert [batch.start for batch in again.batches(7, skip=15)] == [14, 21, 28, 35, 42]
    with pytest.raises(UsageError, match="limit 0"):
        again.limited(0)


def test_a_limit_of_a_stream_takes_its_first_units():
    x, y = rows()
    data = wrap_data(lambda: Stream(x, y), "t", limit=7)
    assert [unit for batch in data.batches(5) for unit in batch.unit_ids] == list("0123456")


def test_only_units_with_these_ids():
    x, y = rows()
    data = wrap_data(lambda: (x, y), "t", limit=20)
    ids = data.known()[0]
    some = data.only(set(ids[3:9]))
    assert (some.known()[0], some.units) == (ids[3:9], 6)
    assert data.only({"no such unit"}) is data
    assert data.only(set(ids)) is data


def test_float16(store):
    x, y = rows()
    extract([wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, dtype="float16")
    assert store.card("n", "val").contents.dtype == "float16"
    np.testing.assert_array_equal(store.outputs("n", "val"), by_hand(net(), x).astype(np.float16), strict=False)
    (again,) = extract([wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, dtype="float16")
    assert again.status == "unchanged"


# The command


def command(monkeypatch, *arguments, name="extract"):
    """Exit code of `wisecommittee extract ..`; what it prints is for capsys."""
    from wisecommittee.cli import main

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "argv", ["wisecommittee", name, *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_the_command(nets, store, monkeypatch, capsys):
    named = ["user_nets:small", "user_nets:large", "--name", "net/0", "--name", "net/1", "--data", "user_nets:data"]
    options = ["--split", "test", "--limit", "20", "--macs", "7,9e0", "--training-cost", "1e15,2", "--batch-size", "6"]
    assert command(monkeypatch, *named, *options, "--store", str(store.files.uri), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    listed = [(m["model"], m["split"], m["rows"], m["classes"], m["flops"], m["status"]) for m in printed["models"]]
    assert listed == [("net/0", "test", 20, 4, 7, "added"), ("net/1", "test", 20, 4, 9, "added")]
    assert [store.card(name, "test").training_cost for name in store.models("test")] == [1e15, 2]


@pytest.mark.parametrize("sizes", [["--sizes", "8,10"], ["--sizes", "8", "--sizes", "10"]])
@pytest.mark.parametrize("views", [["--views", "center, flip"], ["--views", "center", "--views", "flip"]])
def test_several_values_are_repeated_or_take_commas(sizes, views, monkeypatch):
    from wisecommittee.extraction import extract, timing

    seen = {}

    def stop(*_arguments, **given):
        seen.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(extract, "extract", stop)
    monkeypatch.setattr(timing, "bench_models", stop)
    for name, more in (("extract", ["--data", "digits"]), ("bench-models", [])):
        seen.clear()
        assert command(monkeypatch, "a:b", *more, *sizes, *views, "--name", "b/0", name=name) == 130
        assert (seen["sizes"], seen["views"], seen["names"]) == ([8, 10], ["center", "flip"], ["b/0"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["user_nets:small", "--data", "user_nets:data", "--sizes", "8,x"], 2, "--sizes 'x': expected whole numbers"),
        (["user_nets:small", "--data", "user_nets:data", "--sizes", "8,"], 2, "--sizes '8,': a value is missing"),
        (["user_nets:small", "--data", "user_nets:data", "--macs", "1.5"], 2, "--macs '1.5': expected whole numbers"),
        (["user_nets:small"], 2, "expected also --data SPEC"),
        (["--data", "user_nets:data"], 2, "expected also MODEL.."),
        (["tim:x", "--data", "user_nets:data"], 2, "unknown model source 'tim'"),
        (["user_nets:broken", "--data", "user_nets:data"], 1, "ValueError: no such layer"),
        (["user_nets:Counted", "--data", "user_nets:data", "--batch-size", "700"], 130, "run the same command again"),
    ],
)
def test_the_command_fails_in_one_line(arguments, code, message, nets, store, monkeypatch, capsys):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "16")
    assert command(monkeypatch, *arguments, "--store", str(store.files.uri)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


# The embedded data


def test_digits_splits_are_disjoint_stratified_and_fixed():
    splits = {name: digits(name) for name in SPLITS}
    ids = [unit for _, _, unit_ids in splits.values() for unit in unit_ids]
    assert sorted(map(int, ids)) == list(range(1797))
    for name, (images, labels, unit_ids) in splits.items():
        assert images.shape == (SPLITS[name], 1, 8, 8)
        assert len(labels) == len(unit_ids) == SPLITS[name]
        assert images.dtype == np.float32
        counts = Counter(labels.tolist())
        assert max(counts.values()) - min(counts.values()) <= 4
        np.testing.assert_array_equal(images, digits(name)[0])


def test_digits_noise_is_what_it_says():
    from sklearn.datasets import load_digits

    images, labels, unit_ids = digits("val")
    table = load_digits()
    chosen = np.array(list(map(int, unit_ids)))
    noise = images[:, 0] - table.images[chosen] / 16
    assert abs(noise.mean()) < 0.005
    assert noise.std() == pytest.approx(0.15, rel=0.02)
    np.testing.assert_array_equal(labels, table.target[chosen])
    np.testing.assert_allclose(digits("val", noise=0.0)[0][:, 0], table.images[chosen] / 16, atol=1e-7)


# Several models, one pass


class Reads(Dataset):
    """Notes which rows are read."""

    def __init__(self, x, y):
        self.x, self.y, self.read = x, y, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.read.append(i)
        return self.x[i], self.y[i]


def test_models_that_see_the_same_tensors_share_a_pass(store):
    x, y = rows()
    items = Reads(x, y)
    data = wrap_data(lambda: items, "reads")
    models = [wrap_module(net(hidden, seed=hidden), f"net-{hidden}") for hidden in (3, 5, 8)]
    items.read.clear()
    extract(models, data, "val", store, batch_size=16)
    assert items.read == [0, 1, *range(N)]
    for model in models:
        np.testing.assert_allclose(store.outputs(model.name, "val"), by_hand(model.module, x), atol=1e-6)


def test_numbers_in_names_that_do_not_count_from_0_are_pointed_out(store):
    data = wrap_data(rows, "test")
    assert [item.card.model for item in extract([wrap_module(net(), "net/500")], data, "val", store)] == ["net/500"]
    with pytest.warns(UserWarning, match="net/500, net/900: their numbers are not 0, 1, 2"):
        extract([wrap_module(net(9), "net/900")], data, "val", store)


def test_a_pass_is_continued_where_each_model_stopped(nets, tmp_path, monkeypatch):
    """One model is ahead of the other, a third is new; each gets the rows it lacks, and the bits of one run."""
    store, whole = LogitStore(tmp_path / "logits"), LogitStore(tmp_path / "whole")
    specs = ["user_nets:small", "user_nets:Counted", "user_nets:large"]
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "21")
    with pytest.raises(KeyboardInterrupt):
        extract(specs[1:2], "user_nets:items", "val", store, batch_size=700)  # 10,000 rows
    load_model("user_nets:Counted").module.__class__.calls = 0
    monkeypatch.setenv("STOP_AT", "13")
    with pytest.raises(KeyboardInterrupt):
        extract(
            [*specs[:1], "user_nets:Counted"], "user_nets:items", "val", store, batch_size=700, names=["small", "c"]
        )
    monkeypatch.delenv("STOP_AT")
    seen = {}
    extract(
        specs,
        "user_nets:items",
        "val",
        store,
        batch_size=700,
        progress=lambda task, done, _: seen.setdefault(task, done),
    )
    assert seen == {
        "small in val": 5_000,
        "Counted in val": 10_000,
        "large in val": 0,
        "all 3 models in val": seen["all 3 models in val"],
    }
    extract(specs, "user_nets:items", "val", whole, batch_size=700)
    for name in store.models("val"):
        assert store.card(name, "val") == whole.card(name, "val")
        np.testing.assert_array_equal(store.outputs(name, "val"), whole.outputs(name, "val"))


def test_progress_of_all_models_is_weighted_by_their_cost(store):
    x, y = rows()
    seen = []
    models = [wrap_module(net(8), "a/0"), wrap_module(net(8, 1), "b/0")]
    data = wrap_data(lambda: (x, y), "test")
    report = lambda *item: seen.append(item)  # noqa: E731
    extract(models, data, "val", store, macs=[100, 300], batch_size=25, progress=report)
    total = [done for task, done, units in seen if task == "all 2 models in val" and units == N]
    # 25 units of a are 25 x 100 of 50 x 400; of b 25 x 300
    assert [done for i, done in enumerate(total) if done != (total[i - 1] if i else None)] == [0, 6, 25, 31, 50]


# Units, bits and order do not depend on how it is run


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_change_nothing(nets, store, workers, tmp_path):
    extract(["user_nets:small"], "user_nets:items", "val", store, limit=600, batch_size=64, workers=workers)
    whole = LogitStore(tmp_path / "whole")
    extract(["user_nets:small"], "user_nets:items", "val", whole, limit=600, batch_size=64)
    assert tree(tmp_path / "logits") == tree(tmp_path / "whole")
    assert len(store.unit_ids("val")) == 600


def test_the_generator_of_random_numbers_is_left_alone(nets, store):
    load_model("user_nets:small")  # importing the module draws
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    extract(["user_nets:small"], "user_nets:items", "val", store, limit=64, workers=1)
    assert torch.equal(torch.random.get_rng_state(), before)


DRIVER = """
import os, random, signal, sys, time
import torch
import torch._dynamo  # or every child would import it while it counts multiply-adds
torch.set_num_threads(1)
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.extract import extract
from wisecommittee.store import LogitStore
count_macs(torch.nn.Linear(2, 2), torch.zeros(1, 2))

def run(folder):
    child = os.fork()
    if child == 0:
        try:
            extract(["user_nets:small", "user_nets:large"], sys.argv[1], "val", LogitStore(folder),
                    batch_size=256)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child

started = time.monotonic()
assert os.waitpid(run("whole"), 0)[1] == 0
seconds = time.monotonic() - started
rng = random.Random(2022)
kills, finished = 0, 0
while kills < int(sys.argv[2]) or not finished:
    child = run(f"logits{finished}")
    if kills < int(sys.argv[2]):
        time.sleep(rng.uniform(0.05, 1.0) * seconds)
        if os.waitpid(child, os.WNOHANG)[0] == 0:
            os.kill(child, signal.SIGKILL)
            kills += 1
            os.waitpid(child, 0)
            continue
        finished += 1
        continue
    assert os.waitpid(child, 0)[1] == 0
    finished += 1
print("finished", finished)
"""


def test_killed_at_random_moments(nets, tmp_path):
    command = [sys.executable, "-c", DRIVER, "user_nets:data", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HUNG, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    finished = int(done.stdout.split()[-1])
    assert done.stdout.split() == ["finished", str(finished)], done.stdout
    for number in range(finished):
        assert tree(tmp_path / f"logits{number}") == tree(tmp_path / "whole")


def test_what_a_kill_after_the_commit_left_is_cleared(nets, tmp_path):
    store = LogitStore(tmp_path / "logits")
    extract(["user_nets:small"], "user_nets:data", "val", store)
    whole = tree(tmp_path / "logits")
    folder = tmp_path / "logits" / "val" / "model=small"
    (folder / ".writing-0.json").write_text("{}")
    (folder / ".units-0-0.parquet").write_bytes(b"x")
    with store.files.lock(store.lock_name("val", "small", 0), "small"):
        extract(["user_nets:small"], "user_nets:data", "val", LogitStore(tmp_path / "logits"))
    assert (folder / ".writing-0.json").exists()  # somebody may be writing
    (done,) = extract(["user_nets:small"], "user_nets:data", "val", store)
    assert done.status == "unchanged"
    assert tree(tmp_path / "logits") == whole


NOTING_ITEMS = """
import ctypes, os
import torch
from user_nets import data
class Items(torch.utils.data.Dataset):
    def __init__(self): self.x, self.y = data()
    def __len__(self): return len(self.x)
    def __getitem__(self, i):
        signal = ctypes.c_int()
        ctypes.CDLL(None).prctl(2, ctypes.byref(signal))  # PR_GET_PDEATHSIG
        if not os.path.exists(f"worker-{os.getpid()}"):
            with open(f"worker-{os.getpid()}", "w") as file: print(signal.value, file=file)
        return self.x[i], self.y[i]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal at a parent's death is Linux's")
def test_loading_processes_end_with_a_killed_run(nets, tmp_path):
    """They hold the locks of the store open; left alone, they would until they look for their parent."""
    (tmp_path / "noting_items.py").write_text(NOTING_ITEMS)
    script = SCRIPT.replace("batch_size=700", "batch_size=700, workers=2")
    subprocess.run(
        [sys.executable, "-c", script, "noting_items:Items"],
        env=os.environ | {"STOP_AT": "7", "STOP_BY": "kill"},
        timeout=HUNG,
        cwd=tmp_path,
    )
    told = {int(path.name.partition("-")[2]): path.read_text() for path in tmp_path.glob("worker-*")}
    signals = [text.strip() for text in told.values()]
    assert sorted(signals)[-2:] == [str(int(signal.SIGKILL))] * 2  # the first items are read without processes
    store = LogitStore(tmp_path / "logits")
    while True:
        with contextlib.suppress(BusyError), store.files.lock(store.lock_name("val", "Counted", 0), "test"):
            break
        time.sleep(0.01)
    (item,) = extract(["user_nets:Counted"], "user_nets:items", "val", store, batch_size=700)
    assert item.status == "added"


# Memory, precision, layout


class Hungry(nn.Module):
    """Runs out of memory above a number of units."""

    def __init__(self, room):
        super().__init__()
        self.linear, self.room, self.sizes = nn.Linear(FEATURES, CLASSES), room, []

    def forward(self, x):
        if x.device.type != "meta":
            self.sizes.append(len(x))
            if len(x) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.linear(x)


def test_out_of_memory_halves_this_and_the_following_batches(store):
    x, y = rows()
    module = Hungry(5)
    with pytest.warns(UserWarning, match=r"net/0 in val: cpu ran out of memory at 20 units") as warned:
        extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store, batch_size=20)
    assert len(warned) == 1
    assert module.sizes == [2, 2, 2, 2, 20, 10, *[5] * 10]
    np.testing.assert_allclose(store.outputs("net/0", "val"), by_hand(module, x), atol=1e-6)


def test_not_even_one_unit_fits(store):
    x, y = rows()
    module = Hungry(2)
    data = wrap_data(lambda: (x, y), "test")
    message = r"net/0 in val: cpu ran out of memory at a single unit \(CUDA out"
    with pytest.raises(WiseCommitteeError, match=message), pytest.warns(UserWarning, match="at 2 units"):
        extract([wrap_module(Hungry(0), "net/0")], data, "val", store, batch_size=1)
    assert store.models("val") == ()
    extract([wrap_module(module, "net/0")], data, "val", store, batch_size=1)


def test_models_without_room_beside_others_run_in_a_later_pass(store, monkeypatch):
    from wisecommittee.extraction.run.forward import Forward

    here = []
    enter, leave = Forward.__enter__, Forward.__exit__

    def entered(self):
        if len(here) == 2:
            from wisecommittee.errors import OutOfMemoryError

            raise OutOfMemoryError("no room")
        here.append(self)
        return enter(self)

    def left(self, *error):
        here.remove(self)
        return leave(self, *error)

    monkeypatch.setattr(Forward, "__enter__", entered)
    monkeypatch.setattr(Forward, "__exit__", left)
    x, y = rows()
    items = Reads(x, y)
    data = wrap_data(lambda: items, "reads")
    items.read.clear()
    models = [wrap_module(net(h, seed=h), f"net-{h}") for h in range(3, 8)]
    done = extract(models, data, "val", store)
    assert items.read == [0, 1, *range(N), *range(N), *range(N)]
    assert [item.card.model for item in done] == [model.name for model in models]
    for model in models:
        np.testing.assert_allclose(store.outputs(model.name, "val"), by_hand(model.module, x), atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision(store, precision):
    x, y = rows()
    module = net()
    (item,) = extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "t"), "val", store, precision=precision)
    exact = by_hand(module, x)
    with torch.no_grad(), torch.autocast("cpu", getattr(torch, precision)):
        expected = module(x).float().numpy()
    np.testing.assert_array_equal(store.outputs("net/0", "val"), expected)
    assert 0 < np.abs(expected - exact).max() < 0.05
    assert item.card.meta["precision"] == precision
    with pytest.raises(StoreError, match=r"with other precision \(\w+, now None\)"):
        extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "t"), "val", store)


def test_what_is_not_finite_in_reduced_precision_is_computed_in_float32(store):
    x, y = rows()
    x[20] *= 1e5  # more than float16 holds
    x[45] *= 1e5
    module = nn.Linear(FEATURES, CLASSES)
    with pytest.warns(UserWarning, match="net/0 in val: NaN or infinity in float16") as warned:
        extract(
            [wrap_module(module, "net/0")],
            wrap_data(lambda: (x, y), "t"),
            "val",
            store,
            precision="float16",
            batch_size=10,
        )
    assert len(warned) == 1
    got, exact = np.array(store.outputs("net/0", "val")), by_hand(module, x)
    again = np.r_[20:30, 40:50]
    np.testing.assert_allclose(got[again], exact[again], rtol=1e-5, atol=1e-6)
    assert np.abs(np.delete(got - exact, again, 0)).max() > 1e-5


def test_a_nan_in_float32_names_the_unit(store):
    x, y = rows()
    x[37, 2] = torch.nan
    for precision in ("float32", "bfloat16"):
        with pytest.raises(ContentError, match=r"net/0 in val: NaN.* in row 37 \(unit 'photo-37'\), class 0"):
            extract(
                [wrap_module(net(), "net/0")],
                wrap_data(lambda: (x, y, PHOTOS), "test"),
                "val",
                store,
                batch_size=8,
                precision=precision,
            )


def small_convolutions():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, CLASSES))


def test_channels_last(store):
    x, y = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % CLASSES
    module, seen = small_convolutions(), []
    module[0].register_forward_pre_hook(
        lambda _, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    )
    data = wrap_data(lambda: (x, y), "test")
    extract([wrap_module(module, "net/0")], data, "val", store, layout="channels_last")
    assert seen[-1]
    assert module[0].weight.is_contiguous()
    expected = by_hand(module, x)
    np.testing.assert_allclose(store.outputs("net/0", "val"), expected, atol=1e-6)


def test_the_faster_layout_is_picked(monkeypatch):
    from wisecommittee.extraction.run.forward import Forward

    x, module = torch.randn(4, 3, 8, 8), small_convolutions()
    for faster in ("contiguous", "channels_last"):
        monkeypatch.setattr(Forward, "seconds", lambda self, _, f=faster: 1.0 if self.layout == f else 2.0)
        with Forward(module, "net", torch.device("cpu")) as forward:
            assert forward.pick_layout(x) == faster
            assert module[0].weight.is_contiguous() == (faster == "contiguous")
        assert module[0].weight.is_contiguous()
    with Forward(net(), "net", torch.device("cpu")) as forward:
        assert forward.pick_layout(torch.randn(4, FEATURES)) == "contiguous"


# Errors on the way to the store


def test_an_error_of_the_writer_surfaces(nets, store, monkeypatch):
    from wisecommittee.store.writer import Writer

    append, calls = Writer.append, []

    def failing(self, *rows):
        calls.append(self)
        if len(calls) == 3:
            raise StoreError("the disk is full")
        return append(self, *rows)

    monkeypatch.setattr(Writer, "append", failing)
    with pytest.raises(StoreError, match="the disk is full"):
        extract(["user_nets:small"], "user_nets:data", "val", store, batch_size=100)
    assert len(calls) == 3
    monkeypatch.setattr(Writer, "append", append)
    (item,) = extract(["user_nets:small"], "user_nets:data", "val", store, batch_size=100)
    assert item.status == "added"


def test_two_runs_into_one_store(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")

    class Meanwhile(nn.Linear):
        """Another run of the same models, started in the middle of this one."""

        def forward(self, given):
            if given.device.type != "meta" and len(given) > 2 and not calls:
                calls.append(1)
                with pytest.raises(BusyError, match="a/0 in val: another process is writing it"):
                    extract([wrap_module(nn.Linear(FEATURES, CLASSES), "a/0")], data, "val", store)
                extract([wrap_module(net(), "b/0")], data, "val", store)
            return super().forward(given)

    calls = []
    extract([wrap_module(Meanwhile(FEATURES, CLASSES), "a/0")], data, "val", store)
    assert store.models("val") == ("a/0", "b/0")
    assert store.verify() == []


def test_the_number_of_outputs_may_not_change(store):
    x, y = rows()
    module = Returns(lambda y: y[:, :3] if len(y) == 10 else y)
    with pytest.raises(ContentError, match="net/0 in val: 3 classes from row 40; expected 4"):
        extract(
            [wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store, batch_size=20, macs=[1]
        )


def test_labels_and_units_are_compared_before_anything_runs(store):
    x, y = rows()
    extract([wrap_module(net(), "a/0")], wrap_data(lambda: (x, y, PHOTOS), "test"), "val", store)
    other, mixed = y.clone(), PHOTOS.copy()
    other[49] = (y[49] + 1) % CLASSES
    mixed[48] = "photo-x"
    for arrays, message in (
        ((x, other, PHOTOS), "unit 'photo-49' has label"),
        ((x, y, mixed), "unit 'photo-x' is not"),
    ):
        module = Hungry(0)
        with pytest.raises(AlignmentError, match=message):
            extract([wrap_module(module, "b/0")], wrap_data(lambda a=arrays: a, "test"), "val", store)
        assert module.sizes == []
    twice = PHOTOS.copy()
    twice[40] = "photo-3"
    with pytest.raises(AlignmentError, match="'photo-3' stands more than once"):
        extract([wrap_module(net(), "b/0")], wrap_data(lambda: (x, y, twice), "test"), "test", store)


# A dry run


def test_an_estimate_writes_nothing(nets, store, tmp_path):
    from wisecommittee.extraction.extract import estimate

    specs = ["user_nets:small", "user_nets:large"]
    found = estimate(specs, "user_nets:items", "val", store, batch_size=100, dtype="float16")
    assert not (tmp_path / "logits").exists()
    assert (found.units, found.passes, found.bytes) == (12_000, 1, 2 * 12_000 * 4 * 2)
    listed = [(m.model, m.input_size, m.macs, m.classes, m.status, m.bytes) for m in found.models]
    assert listed[0] == ("small", (6,), 6 * 8 + 8 * 4, 4, "added", 96_000)
    assert listed[1][:4] == ("large", (6,), 6 * 16 + 16 * 4, 4)
    assert 0 < sum(m.seconds for m in found.models) < found.seconds
    extract(specs[:1], "user_nets:items", "val", store, limit=100)
    found = estimate(specs, "user_nets:items", "val", store, limit=100)
    assert [(m.status, m.bytes) for m in found.models] == [("unchanged", 0), ("added", 1600)]
    found = estimate(["user_nets:large"], "user_nets:batches", "test", store)
    assert (found.units, found.bytes, found.seconds) == (None, None, None)


def test_the_command_s_dry_run(nets, store, monkeypatch, capsys, tmp_path):
    arguments = ["user_nets:small", "--data", "user_nets:items", "--store", str(store.files.uri), "--dry-run"]
    assert command(monkeypatch, *arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["units"], printed["bytes"], printed["models"][0]["macs"]) == (12_000, 192_000, 80)
    assert command(monkeypatch, *arguments) == 0
    text = capsys.readouterr().out
    assert "small" in text
    assert "192 kB" in text
    assert "nothing written: 12,000 units, 1 passes" in text
    assert not (tmp_path / "logits").exists()
    assert command(monkeypatch, "--dry-run") == 2


# Sizes and views


def test_clips_of_a_unit_are_averaged_and_paid_for(store):
    """Data of several views, as the clips of a video (Wang et al. 2022, Sec. 7.1: 30 of them, cost x 30)."""
    clips = torch.randn(20, 3, FEATURES, generator=torch.Generator().manual_seed(0))
    module = net()
    data = wrap_data(lambda: (clips, torch.arange(20) % CLASSES), "videos")
    (item,) = extract([wrap_module(module, "net/0")], data, "val", store, views=["clips"], batch_size=7)
    card = item.card
    assert (card.model, card.architecture, card.input_size) == ("net+clips/0", "net+clips", (3, FEATURES))
    assert card.blocks == {"net+clips/0": 3 * (FEATURES * 8 + 8 * CLASSES)}
    expected = np.mean([by_hand(module, clips[:, v]) for v in range(3)], axis=0)
    np.testing.assert_allclose(store.outputs("net+clips/0", "val"), expected, atol=1e-6)
    pictures = wrap_data(lambda: Pictures(), "own")
    with pytest.raises(UsageError, match=r"--views clips is for tensors \[n, views, ..\], and this gives images"):
        extract([sizable()], pictures, "val", store, views=["clips"])


@pytest.mark.parametrize("change", [lambda y: {"logits": y}, lambda y: (y,), lambda y: {"a": y, "b": y}])
def test_what_views_return_is_read_as_without_them(change, store):
    clips, module = torch.randn(8, 2, FEATURES), Returns(change)
    data = wrap_data(lambda: (clips, torch.arange(8) % CLASSES), "videos")
    if len(change(0)) == 2:
        with pytest.raises(ContentError, match="returned a dict with a, b"):
            extract([wrap_module(module, "net/0")], data, "val", store, views=["clips"], macs=None)
        return
    extract([wrap_module(module, "net/0")], data, "val", store, views=["clips"])
    with torch.no_grad():
        expected = module.linear(clips).mean(1).numpy()
    np.testing.assert_allclose(store.outputs("net+clips/0", "val"), expected, atol=1e-6)


class Pictures(Dataset):
    def __len__(self):
        return 9

    def __getitem__(self, i):
        return Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)), i % CLASSES


def sizable():
    """A model of images that takes every size; the tensors are the image's corner."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))

    def resize(size):
        def whole(image):
            return torch.from_numpy(np.array(image)[:size, :size].transpose(2, 0, 1).copy()).float() / 255

        return module, Preprocess(f"corner {size}", (3, size, size), whole)

    made = resize(8)
    return LoadedModel(
        module, "net/0", "net", 0, "made", state_hash(module), input_size=(3, 8, 8), preprocess=made[1], resize=resize
    )


def test_every_model_at_every_size_and_view(store):
    data = wrap_data(lambda: Pictures(), "own")
    loaded = sizable()
    done = extract([loaded], data, "val", store, sizes=[8, 10], views=["center", "flip"], batch_size=4)
    names = [item.card.model for item in done]
    assert names == ["net@8/0", "net@8+flip/0", "net@10/0", "net@10+flip/0"]
    macs = [sum(item.card.blocks.values()) for item in done]
    assert macs == [4 * 27 * 36 + 16, 2 * (4 * 27 * 36 + 16), 4 * 27 * 64 + 16, 2 * (4 * 27 * 64 + 16)]
    images = [Pictures()[i][0] for i in range(9)]
    for size in (8, 10):
        tensors = torch.stack([loaded.resize(size)[1].whole(image) for image in images])
        with torch.no_grad():
            plain, mirrored = loaded.module(tensors).numpy(), loaded.module(tensors.flip(-1)).numpy()
        np.testing.assert_allclose(store.outputs(f"net@{size}/0", "val"), plain, atol=1e-6)
        np.testing.assert_allclose(store.outputs(f"net@{size}+flip/0", "val"), (plain + mirrored) / 2, atol=1e-6)
    with pytest.raises(UsageError, match="--macs declares one number per model"):
        extract([loaded], data, "val", store, sizes=[8, 10], macs=[1])


OWN_IMAGES = """
import numpy as np, torch
from torch import nn
from wisecommittee.extraction.models.preprocess import Preprocess
def at(size):
    def whole(image):
        return torch.from_numpy(np.array(image.resize((size, size)))).permute(2, 0, 1).float() / 255
    return Preprocess(f"own {size}", (3, size, size), whole)
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
def fixed(): return net()
fixed.preprocess = at(12)
def sized(): return net()
sized.preprocess, sized.preprocess_at = at(12), at
def tensors():
    x = torch.rand(9, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(9) % 4
"""


@pytest.fixture
def own_images(tmp_path, monkeypatch):
    (tmp_path / "own_images.py").write_text(OWN_IMAGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield load_model("own_images:net").module
    sys.modules.pop("own_images", None)


def brought_to(tensors, size):
    return nn.functional.interpolate(tensors, (size, size), mode="bilinear", antialias=True)


def test_own_modules_run_at_several_sizes(own_images, store):
    """Tensors are brought to the size; images are prepared for it where the factory says how."""
    done = extract(["own_images:net"], "own_images:tensors", "val", store, sizes=[8, 12], batch_size=4)
    assert [item.card.model for item in done] == ["net@8", "net@12"]
    assert [item.card.input_size for item in done] == [(3, 8, 8), (3, 12, 12)]
    assert [sum(item.card.blocks.values()) for item in done] == [4 * 27 * 36 + 16, 4 * 27 * 100 + 16]
    tensors = open_data("own_images:tensors", "val").make()[0]
    with torch.no_grad():
        for size in (8, 12):
            expected = own_images(brought_to(tensors, size)).numpy()
            np.testing.assert_allclose(store.outputs(f"net@{size}", "val"), expected, atol=1e-6)
    data = wrap_data(Pictures, "own")
    extract(["own_images:fixed", "own_images:sized"], data, "test", store, sizes=[8, 12], views=["center", "flip"])
    factory = sys.modules["own_images"]
    images = [Pictures()[i][0] for i in range(9)]
    for size in (8, 12):
        card = store.card(f"fixed@{size}", "test")
        assert (card.input_size, sum(card.blocks.values())) == ((3, size, size), 4 * 27 * (size - 2) ** 2 + 16)
        whole = torch.stack([factory.at(12)(image) for image in images])
        at_size = torch.stack([factory.at(size)(image) for image in images])
        with torch.no_grad():
            for name, inputs in (("fixed", brought_to(whole, size)), ("sized", at_size)):
                plain, mirrored = own_images(inputs).numpy(), own_images(inputs.flip(-1)).numpy()
                np.testing.assert_allclose(store.outputs(f"{name}@{size}", "test"), plain, atol=1e-6)
                both = (plain + mirrored) / 2
                np.testing.assert_allclose(store.outputs(f"{name}@{size}+flip", "test"), both, atol=1e-5)
    with pytest.raises(UsageError, match=r"net@10/0 in more: its input size is 3 x 10 x 10, .* of 3 x 12 x 12"):
        extract([sizable()], "own_images:tensors", "more", store, sizes=[10])
    with pytest.raises(WiseCommitteeError, match=r"fixed: cannot take inputs of 2 x 2"):
        extract(["own_images:fixed"], data, "more", store, sizes=[2])
