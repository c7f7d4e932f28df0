"""Models + data -> store: against hand-written forward loops, through interruptions, and every refusal."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from wisecommittee.errors import (
    AlignmentError,
    ContentError,
    CostError,
    StoreError,
    UnknownNameError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extract.data import open_data, wrap_data
from wisecommittee.extract.digits import SPLITS, digits
from wisecommittee.extract.models import load_model, state_hash, wrap_module
from wisecommittee.extract.run import extract
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
        x = torch.randn(12_000, 6, generator=torch.Generator().manual_seed(1))[:20]
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


# Interruptions


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from wisecommittee.extract.run import extract
from wisecommittee.store import LogitStore
extract(["user_nets:Counted"], sys.argv[1], "val", LogitStore("logits"), batch_size=700)
"""


@pytest.mark.parametrize("data", ["user_nets:items", "user_nets:batches"])
def test_a_killed_run_continues_to_the_same_bytes(nets, tmp_path, data):
    # Call 1 is the probe; call 13 is batch 12 of 18, rows 7,700 to 8,400: one part of 5,000 rows is whole by then.
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, data], env=os.environ | {"STOP_AT": "13", "STOP_BY": "kill"}, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    store = LogitStore(tmp_path / "logits")
    assert store.models("val") == ()
    calls = load_model("user_nets:Counted").module
    (item,) = extract(["user_nets:Counted"], data, "val", store, batch_size=700)
    # The probe and rows 4,900 to 12,000: 11 batches instead of 18.
    assert type(calls).calls == 1 + 11
    assert (item.status, item.card.contents.rows) == ("added", 12_000)
    whole = LogitStore(tmp_path / "whole")
    extract(["user_nets:Counted"], data, "val", whole, batch_size=700)
    assert tree(tmp_path / "logits") == tree(tmp_path / "whole")
    assert store.verify() == []


def test_from_the_keyboard(nets, store, monkeypatch):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "13")
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


def test_rows_of_other_code_are_not_continued(nets, store, monkeypatch, tmp_path):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "13")
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


def test_uncounted_models_need_declared_macs(store):
    x, y = rows()
    module = Returns(lambda y: y + torch.cdist(y, y).sum())
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
        pytest.param(torch.zeros(N, 4), r"labels of shape \[2, 4\]", id="one-hot"),
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
        ("timm:resnet50", UnknownNameError, r"unknown model source 'timm'.*Known: digits, package.module:factory"),
        ("resnet50", UsageError, r"expected package.module:factory\[@weights-file\] or digits:NAME"),
        ("user_nets:smal", UnknownNameError, "did you mean 'small'"),
        ("user_nets.deeper:small", UsageError, "no module 'user_nets.deeper'"),
        ("user_nets:broken", WiseCommitteeError, "calling it raised ValueError: no such layer"),
        ("user_nets:lazy", UsageError, "'user_nets:lazy': lazy layers without shapes"),
        ("user_nets:number", UsageError, "int is not callable"),
        ("user_nets:data", UsageError, "gave a tuple; expected a torch.nn.Module"),
        ("user_nets:small@none.pt", UsageError, "no weights file 'none.pt'"),
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
    with pytest.raises(UnknownNameError, match=r"unknown data source 'imagefolder'.*digits"):
        open_data("imagefolder:photos", "val")
    with pytest.raises(UsageError, match=r"expected package.module:factory or digits\[:SPLIT\]"):
        open_data("photos", "val")
    with pytest.raises(UnknownNameError, match=r"unknown split of the digits 'holdout'.*test, train, val"):
        open_data("digits", "holdout")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macs": [1, 2]}, "2 values of --macs for 1 models"),
        ({"names": ["a", "b"]}, "2 values of --name"),
        ({"batch_size": 0}, "batch size 0"),
        ({"limit": 0}, "limit 0"),
        ({"dtype": "int8"}, "float32 or float16"),
        ({"device": "abacus"}, "try auto or cpu"),
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
    np.testing.assert_allclose(store.outputs("n", "val"), by_hand(net(), x[:limit]), atol=1e-6)


def test_float16(store):
    x, y = rows()
    extract([wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, dtype="float16")
    assert store.card("n", "val").contents.dtype == "float16"
    np.testing.assert_array_equal(store.outputs("n", "val"), by_hand(net(), x).astype(np.float16), strict=False)
    (again,) = extract([wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, dtype="float16")
    assert again.status == "unchanged"


# The command


def command(monkeypatch, *arguments):
    """Exit code of `wisecommittee extract ..`; what it prints is for capsys."""
    from wisecommittee.cli import main

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "argv", ["wisecommittee", "extract", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_the_command(nets, store, monkeypatch, capsys):
    named = ["user_nets:small", "user_nets:large", "--name", "net/0", "--name", "net/1", "--data", "user_nets:data"]
    options = ["--split", "test", "--limit", "20", "--macs", "7", "--macs", "9", "--batch-size", "6"]
    assert command(monkeypatch, *named, *options, "--store", str(store.files.uri), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    listed = [(m["model"], m["split"], m["rows"], m["classes"], m["flops"], m["status"]) for m in printed["models"]]
    assert listed == [("net/0", "test", 20, 4, 7, "added"), ("net/1", "test", 20, 4, 9, "added")]
    assert store.models("test") == ("net/0", "net/1")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["user_nets:small"], 2, "expected also --data SPEC"),
        (["--data", "user_nets:data"], 2, "expected also MODEL.."),
        (["timm:x", "--data", "user_nets:data"], 2, "unknown model source 'timm'"),
        (["user_nets:broken", "--data", "user_nets:data"], 1, "ValueError: no such layer"),
        (["user_nets:Counted", "--data", "user_nets:data", "--batch-size", "700"], 130, "run the same command again"),
    ],
)
def test_the_command_fails_in_one_line(arguments, code, message, nets, store, monkeypatch, capsys):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "13")
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
