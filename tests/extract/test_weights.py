"""Weights files: the state dict is found wherever a trainer puts it, and damaged or hostile files are one error."""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from wisecommittee.errors import ContentError, WiseCommitteeError
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.models.weights import check_claims, read_weights, weights_hash

torch.set_num_threads(1)

CODE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU())
        self.head = nn.Linear(5, 4)
    def forward(self, x): return self.head(self.body(x))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_net", None)


def net(seed=1):
    load_model("own_net:Net")
    torch.manual_seed(seed)
    return sys.modules["own_net"].Net().eval()


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def loaded(file, content):
    torch.save(content, file)
    return load_model(f"own_net:Net@{file}").module.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_head(state):
    return {name: value for name, value in state.items() if "head" not in name}


AS_TRAINERS_SAVE = {
    "bare": lambda m, s: s,
    "ordered": lambda m, s: OrderedDict(s),
    "with numbers beside": lambda m, s: {**s, "epoch": 3, "loss": 0.5, "notes": ["a", "b"], "lr": {"head": 0.1}},
    "Lightning": lambda m, s: {"state_dict": prefixed("model.", s), "epoch": 3, "pytorch-lightning_version": "2.4"},
    "Lightning net": lambda m, s: {"state_dict": prefixed("net.backbone.", s), "hyper_parameters": {"lr": 0.1}},
    "DDP": lambda m, s: prefixed("module.", s),
    "compiled DDP": lambda m, s: prefixed("_orig_mod.module.", s),
    "DDP compiled": lambda m, s: prefixed("module._orig_mod.", s),
    "compiled in part": lambda m, s: {k.replace("body.", "body._orig_mod."): v for k, v in s.items()},
    "averaged": lambda m, s: AveragedModel(m).state_dict(),
    "model_state_dict": lambda m, s: {"model_state_dict": s, "optimizer_state_dict": {"state": {0: {"step": 1}}}},
    "net": lambda m, s: {"net": s, "acc": 93.1},
    "ema": lambda m, s: {"ema": s},
    "deep": lambda m, s: {"checkpoint": {"best": {"weights": prefixed("module.", s)}}},
    "with arguments": lambda m, s: {"model": s, "args": argparse.Namespace(lr=0.1, data="photos")},
    "integer keys beside": lambda m, s: {0: {"a": torch.zeros(2)}, 1: [1, 2], "model": s},
    "equal twice": lambda m, s: {"model": s, "model_ema": AveragedModel(m).state_dict(), "last": dict(s)},
    "without counters of batches": lambda m, s: {k: v for k, v in s.items() if "num_batches" not in k},
    "optimizer state": lambda m, s: {
        "model": s,
        "optimizer": torch.optim.Adam(m.parameters()).state_dict(),
        "scheduler": {"last_epoch": 3},
        "scaler": torch.amp.GradScaler("cpu", enabled=False).state_dict(),
    },
}


@pytest.mark.parametrize("name", AS_TRAINERS_SAVE)
def test_state_dicts_are_found_where_trainers_put_them(name):
    module = net()
    assert same(loaded("w.pt", AS_TRAINERS_SAVE[name](module, module.state_dict())), module.state_dict())


def test_of_several_that_differ_the_average_is_taken_and_said():
    module, average = net(1), net(2)
    content = {"model": module.state_dict(), "model_ema": AveragedModel(average).state_dict()}
    torch.save(content, "w.pt")
    message = (
        r"of 'model', 'model_ema/module.' in 'w.pt' the average, 'model_ema/module.', is taken; .*w.pt\?state=model"
    )
    with pytest.warns(UserWarning, match=message):
        assert same(load_model("own_net:Net@w.pt").module.state_dict(), average.state_dict())
    for place, expected in (("model", module), ("model_ema", average), ("model_ema/module.", average)):
        chosen = load_model(f"own_net:Net@w.pt?state={place}")
        assert same(chosen.module.state_dict(), expected.state_dict())
    assert chosen.origin == "own_net:Net@w.pt?state=model_ema/module."
    # Other weights of one file are other weights.
    found = {weights_hash(f"w.pt?state={place}", "x") for place in ("model", "model_ema")} | {weights_hash("w.pt", "x")}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda a, b: {"student": a, "teacher": b},
            r"2 state dicts that fit and differ, 'student', 'teacher';",
        ),
        (lambda a, b: {"ema_a": a, "ema_b": b}, r"2 state dicts that fit and differ, 'ema_a', 'ema_b'; choose"),
        (
            lambda a, b: {"state_dict": {**prefixed("model.", a), **prefixed("teacher.", b)}},
            r"its weights under 'state_dict/model.', beside those of others \(as 'teacher.*state=state_dict/model\.",
        ),
        (
            lambda a, b: {"state_dict": {**prefixed("model.", a), "criterion.weight": torch.ones(4)}},
            r"under 'state_dict/model.', beside .* \(as 'criterion.weight'\); .*\?state=state_dict/model\.",
        ),
        (
            lambda a, b: {"model": {k: v for k, v in a.items() if "head" not in k}},
            r"do not fit: .*Missing key.*head.weight",
        ),
        (lambda a, b: {k: v for k, v in a.items() if "head" not in k}, r"do not fit: .*Missing key.*head.weight"),
        (lambda a, b: {**a, "head.weight": torch.zeros(9, 5)}, r"do not fit: .*size mismatch for head.weight"),
        (lambda a, b: {0: 1, 1: 2}, "do not fit"),
        (lambda a, b: {0: torch.zeros(2), 1: torch.zeros(2)}, "do not fit"),
        (lambda a, b: [a], "do not fit"),
        (lambda a, b: torch.zeros(3), "do not fit"),
        (lambda a, b: None, "do not fit"),
    ],
)
def test_what_is_not_clear_is_refused(make, message):
    torch.save(make(net(1).state_dict(), net(2).state_dict()), "w.pt")
    with pytest.raises(ContentError, match=message):
        load_model("own_net:Net@w.pt")


def test_the_remedy_of_a_refusal_works():
    module = net(1)
    state = {**prefixed("model.", module.state_dict()), "criterion.weight": torch.ones(4)}
    torch.save({"state_dict": state}, "w.pt")
    assert same(load_model("own_net:Net@w.pt?state=state_dict/model.").module.state_dict(), module.state_dict())
    with pytest.raises(ContentError, match=r"no state dict of its names at 'model'; mappings .*: 'state_dict'"):
        load_model("own_net:Net@w.pt?state=model")


# Damaged and hostile files


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def rebuilt(data, change):
    """The archive of torch.save with its records changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            new.writestr(*change(info.filename, old.read(info)))
    return out.getvalue()


def damaged(kind):
    data = saved(net().state_dict())
    if kind == "cut short":
        return data[: len(data) // 2]
    if kind == "empty":
        return b""
    if kind == "text":
        return b"no tensors"
    if kind == "pickle":
        return rebuilt(
            data, lambda name, rec: (name, rec[:40] + b"\xff" + rec[41:] if name.endswith("data.pkl") else rec)
        )
    if kind == "pickle of nothing":
        return rebuilt(data, lambda name, rec: (name, b"." if name.endswith("data.pkl") else rec))
    if kind == "an object":
        return saved({"model": net()})
    if kind == "legacy, cut short":
        buffer = io.BytesIO()
        torch.save(net().state_dict(), buffer, _use_new_zipfile_serialization=False)
        return buffer.getvalue()[:-30]
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind", ["cut short", "empty", "text", "pickle", "pickle of nothing", "an object", "legacy, cut short"]
)
def test_damaged_files_are_one_error_with_their_name(kind, here):
    (here / "w.pt").write_bytes(damaged(kind))
    with pytest.raises(ContentError, match=r"'w.pt' holds no plain tensors \(|weights in 'w.pt' do not fit"):
        load_model("own_net:Net@w.pt")


def test_the_object_that_would_be_unpickled_is_named(here):
    (here / "w.pt").write_bytes(damaged("an object"))
    with pytest.raises(ContentError, match=r"it has Python objects, own_net.Net\)"):
        load_model("own_net:Net@w.pt")


@pytest.mark.parametrize("ending", ["pt", "pth", "ts", "pt2"])
def test_a_file_that_claims_more_than_it_has_is_not_unpacked(ending, here):
    with (
        zipfile.ZipFile("bomb", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("bomb/data/0", "w", force_zip64=True) as record,
    ):
        for _ in range(300):
            record.write(bytes(1 << 20))
    os.rename("bomb", f"bomb.{ending}")
    assert os.path.getsize(f"bomb.{ending}") < 1 << 20
    spec = f"own_net:Net@bomb.{ending}" if ending in ("pt", "pth") else f"bomb.{ending}"
    with pytest.raises(ContentError, match=rf"'bomb.{ending}' has [\d,]+ bytes and claims to hold 314,572,800;"):
        load_model(spec)


def test_a_file_larger_than_memory_is_not_read(here, monkeypatch):
    torch.save(net().state_dict(), "w.pt")
    monkeypatch.setattr("wisecommittee.reading.free_memory", lambda: 1000)
    with pytest.raises(ContentError, match=r"'w.pt'.* of memory needed, .* are free"):
        load_model("own_net:Net@w.pt")


def test_a_tensor_may_not_be_larger_than_what_is_stored_of_it(here):
    torch.save({"head.weight": torch.zeros(1).expand(10_000, 10_000)}, "w.pt")
    assert os.path.getsize("w.pt") < 10_000
    with pytest.raises(ContentError, match=r"head.weight of shape \[10000, 10000\] is larger than what is stored"):
        read_weights("w.pt", "x")
    torch.save({"head.weight": torch.empty(3, 5, device="meta")}, "w.pt")
    with pytest.raises(ContentError, match=r"head.weight has a shape and no numbers"):
        read_weights("w.pt", "x")


def test_torchscript_as_it_is_saved_claims_little(here):
    with pytest.warns(DeprecationWarning, match=r"torch.jit"):
        torch.jit.script(nn.Sequential(*(nn.Linear(4, 4) for _ in range(200)))).save("net.ts")
    check_claims(here / "net.ts", "net.ts")
    assert load_model("net.ts").weights == weights_hash("net.ts", "x")


@pytest.mark.parametrize("kind", ["zip", "legacy", "ts"])
def test_files_with_changed_bytes_are_read_or_refused(kind, here):
    """Seeded; nothing but our own errors comes out, and no file is written."""
    if kind == "ts":
        with pytest.warns(DeprecationWarning, match=r"torch.jit"):
            torch.jit.script(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))).save("w.ts")
        data, spec = (here / "w.ts").read_bytes(), "m.ts"
    else:
        torch.save({"model": net().state_dict(), "epoch": 3}, "w.pt", _use_new_zipfile_serialization=kind == "zip")
        data, spec = (here / "w.pt").read_bytes(), "own_net:Net@m.pt"
    rng, outcomes = random.Random(2022), []
    target = here / spec.rpartition("@")[2]
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 4, 30))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        if rng.random() < 0.2:
            del changed[rng.randrange(len(changed)) :]
        target.write_bytes(changed)
        try:
            outcomes.append(load_model(spec).weights == "")
        except WiseCommitteeError as error:
            outcomes.append("m." in str(error))
    assert any(outcomes)
    assert all(outcome in (True, False) for outcome in outcomes)
    assert {path.name for path in here.iterdir()} <= {"own_net.py", "__pycache__", "w.pt", "w.ts", "m.pt", "m.ts"}


def test_safetensors(here):
    safetensors = pytest.importorskip("safetensors.torch")
    module = net()
    safetensors.save_file(prefixed("model.", module.state_dict()), "w.safetensors")
    assert same(load_model("own_net:Net@w.safetensors").module.state_dict(), module.state_dict())
    data = (here / "w.safetensors").read_bytes()
    for part in (data[:-5], b"\xff" * 8 + data[8:], np.random.default_rng(0).bytes(500), b""):
        (here / "w.safetensors").write_bytes(part)
        with pytest.raises(ContentError, match=r"'w.safetensors' holds no plain tensors"):
            load_model("own_net:Net@w.safetensors")
