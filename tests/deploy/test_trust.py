"""Stores and committees of strangers: nothing in them runs unless the caller says so, and nothing before it is checked.

Every payload writes a file where the test looks for it.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import wisecommittee as wc
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.measure import Loading, compare
from wisecommittee.deployment.members import load_members
from wisecommittee.errors import AbsentError, CommitteeError, ContentError, TrustError
from wisecommittee.extraction.data.spec import program_in_data
from wisecommittee.extraction.models.python_code import located
from wisecommittee.extraction.models.spec import load_model, program_in
from wisecommittee.store import LogitStore

torch.set_num_threads(1)

PAYLOAD = """
open("imported", "w").close()
import torch
from torch import nn
def net():
    open("called", "w").close()
    torch.manual_seed(0)
    return nn.Linear(6, 3)
def data():
    open("data", "w").close()
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 6, generator=generator), torch.arange(40) % 3
"""


class WritesAFile(nn.Module):
    """TorchScript whose state, when it is read, writes a file."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]):
        self.weight = state[0]
        self.training = state[1]
        torch.save(state[0], "called")

    def forward(self, x: Tensor) -> Tensor:
        return x


class Program(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.part = nn.Linear(6, 3), WritesAFile()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.part(x))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A stranger's folder, which somebody stands in."""
    (tmp_path / "payload.py").write_text(PAYLOAD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    yield tmp_path
    sys.modules.pop("payload", None)


def ran(folder):
    return {name for name in ("imported", "called", "data") if (folder / name).exists()}


def strangers(folder, origin, *, data="digits:val", weights=None, **meta):
    """A store with one model, whose card says what a stranger wants it to say."""
    store = LogitStore(folder / "logits")
    generator = np.random.default_rng(0)
    outputs = generator.standard_normal((40, 3), dtype=np.float32)
    card = ModelCard("a", blocks={"a": 18}, origin=origin, weights=weights, meta={"data": data, **meta})
    store.add(card, "val", labels=np.arange(40) % 3, outputs=outputs)
    Committee((("a",),), members={"a": {"kind": "logits"}}).save(folder / "committee.json")
    return store


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "net.ts"
    with pytest.warns(DeprecationWarning, match=r"torch.jit"):
        torch.jit.script(Program()).save(str(path))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("payload:net", "a: 'payload:net', module payload, .*payload.py"),
        ("payload:net@w.pt", "a: 'payload:net@w.pt', module payload, .*payload.py"),
        ("net.ts", "a: 'net.ts', the program /.*net.ts"),
        ("net.pt2", "a: 'net.pt2', the program /.*net.pt2"),
        ("os:getcwd", "a: 'os:getcwd', module os, "),
        ("sys:exit", "a: 'sys:exit', module sys, part of Python"),
        ("nowhere.at.all:net", "a: 'nowhere.at.all:net', module nowhere.at.all, which is not found from /"),
    ],
)
def test_code_that_only_a_card_names_does_not_run(origin, named, folder, script):
    (folder / "net.ts").write_bytes(script)
    (folder / "net.pt2").write_bytes(script)
    store = strangers(folder, origin)
    for run in (
        lambda: wc.deploy("committee.json", store=store),
        lambda: compare(Committee.load("committee.json"), store),
        lambda: load_members(["a"], store=store),
    ):
        with pytest.raises(TrustError, match=named + r".*trust=True, or name what you trust yourself"):
            run()
    assert not ran(folder)
    assert TrustError("").exit_code == 1


def test_the_same_code_runs_when_the_caller_vouches_for_it(folder):
    store = strangers(folder, "payload:net", data="payload:data")
    with wc.deploy("committee.json", store=store, trust=True, force=True) as run:
        assert len(run(torch.zeros(2, 6))) == 2
    assert ran(folder) == {"imported", "called"}
    with wc.deploy("committee.json", {"a": "payload:net"}, store=store, replay=0) as run:
        assert len(run(torch.zeros(2, 6))) == 2
    with pytest.warns(UserWarning, match=r"not compared with what is stored \(its data are code, 'payload:data'"):
        wc.deploy("committee.json", {"a": "payload:net"}, store=store).close()
    assert "data" not in ran(folder)


def test_a_program_writes_files_while_it_loads(folder, script):
    """What is kept from running is worth it."""
    (folder / "net.ts").write_bytes(script)
    load_model("net.ts")
    assert ran(folder) == {"called"}


def test_data_that_only_a_card_names_do_not_run(folder):
    store = strangers(folder, "payload:net", data="payload:data")
    with pytest.raises(
        TrustError, match=r"a: 'payload:net', .*; data: 'payload:data', module payload, .*payload.py\. "
    ):
        compare(Committee.load("committee.json"), store)
    with pytest.raises(TrustError, match=r"run here: data: 'payload:data'"):
        compare(Committee.load("committee.json"), store, loading=Loading({"a": nn.Linear(6, 3)}))
    assert not ran(folder)


def test_preprocessing_that_only_a_card_names_does_not_run(folder):
    store = strangers(folder, "digits:linear/0", preprocess_of="payload:net")
    with pytest.raises(TrustError, match=r"preprocessing of a: 'payload:net', module payload"):
        wc.deploy("committee.json", store=store)
    assert not ran(folder)


@pytest.mark.parametrize("origin", ["net.ts", "payload:net@w.pt"])
def test_weights_are_compared_before_anything_of_them_runs(origin, folder, script):
    (folder / "net.ts").write_bytes(script)
    torch.save(nn.Linear(6, 3).state_dict(), "w.pt")
    store = strangers(folder, origin, weights="0" * 64)
    with pytest.raises(CommitteeError, match=rf"a: the weights of '{origin}' .* are not those .*000000"):
        load_members(["a"], store=store, trust=True)
    assert not ran(folder)
    load_members(["a"], store=store, trust=True, force=True)
    assert "called" in ran(folder)


def test_weights_of_the_card_count_where_the_committee_has_none(folder):
    store = strangers(folder, "digits:linear/0", weights="0" * 64)
    with pytest.raises(CommitteeError, match="are not those the committee was chosen with"):
        load_members(["a"], {"a": nn.Linear(6, 3)}, store)


def test_installed_libraries_are_not_looked_for_in_the_current_folder(folder):
    for name in ("torchvision", "timm", "transformers", "onnx"):
        (folder / f"{name}.py").write_text("open('imported', 'w').close()")
    (folder / "net.onnx").write_bytes(b"")
    for spec in ("torchvision:resnet1", "timm:resnet1", "hf:nobody/nothing", "net.onnx"):
        with pytest.raises(wc.errors.WiseCommitteeError):
            load_model(spec)
    assert not ran(folder)
    assert str(folder) not in sys.path


def test_what_needs_no_trust(folder):
    (folder / "x.onnx").write_bytes(b"")
    for spec in ("timm:resnet50", "timm:resnet50@w.pt", "torchvision:resnet18", "hf:vit", "digits:conv8/0", "x.onnx"):
        assert program_in(spec) is None
    for spec in ("digits", "digits:val", "imagefolder:photos", "parquet:val-*", "npz:a.npz"):
        assert program_in_data(spec) is None
    assert program_in_data("payload:data") == f"module payload, {folder / 'payload.py'}"


def test_modules_are_found_without_importing_their_packages(folder):
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("deep/__init__.py", "deep/er/__init__.py", "deep/er/net.py"):
        (folder / name).write_text(PAYLOAD)
    assert located("deep.er.net:net") == f"module deep.er.net, {folder / 'deep/er/net.py'}"
    assert located("deep.er:net") == f"module deep.er, {folder / 'deep/er/__init__.py'}"
    assert "not found" in located("deep.er.none:net")
    assert not ran(folder)


def test_a_file_says_where_it_was_looked_for(folder):
    with pytest.raises(AbsentError, match=rf"no weights file 'none.ts' in the current folder '{folder}'"):
        load_model("none.ts")
    os.mkfifo("pipe.ts")
    with pytest.raises(ContentError, match=r"'pipe.ts': pipe.ts: a pipe; expected a regular file"):
        load_model("pipe.ts")
    with pytest.raises(ContentError, match=r"a folder|device"):
        load_model("payload:net@/dev/zero")


def test_a_card_says_nothing_that_could_be_loaded(folder):
    store = strangers(folder, "a notebook of mine")
    with pytest.raises(wc.errors.UsageError, match=r"its card names no model spec .*\(a notebook of mine\)"):
        wc.deploy("committee.json", store=store)


def test_the_command_says_what_would_run(folder, monkeypatch, capsys):
    from wisecommittee.cli import main

    strangers(folder, "payload:net", data="payload:data")
    command = [
        "wisecommittee",
        "bench-models",
        "--committee",
        "committee.json",
        "--seconds",
        "0.01",
        "--store",
        "logits",
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the store names code, which would run here: a: 'payload:net', module payload, /")
    assert not ran(folder)
