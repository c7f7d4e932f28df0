"""A killed or interrupted extraction leaves the store as it was, and the next call continues it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from extractions import NETS, SCRIPT, tree
from processes import HUNG, ended

from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.store import LogitStore


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
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # also where a shell made it deaf
    code = f"{hears}; from wisecommittee.cli import main; main()"
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
