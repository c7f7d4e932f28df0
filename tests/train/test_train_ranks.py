"""Training in two processes: the weights are those of one process, whatever the shares, and a killed run goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from processes import HUNG, ended

from wisecommittee.errors import UsageError
from wisecommittee.train.ranks import replicas

SCRIPT = """
import glob, os, signal, sys
from dataclasses import dataclass
from pathlib import Path
import torch
from torch import nn
from torch.nn import functional
from wisecommittee.train.loop import Minibatches, Phase, cosine, train

torch.set_num_threads(1)

@dataclass
class Curve:
    key: str = "curve"
    def phases(self):
        torch.manual_seed(0 if os.environ.get("RANK", "0") == "0" else 5)  # rank 0 decides how it begins
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(53, 3, generator=generator)
        y = (x.sum(1, keepdim=True) > 0).float()
        net, unused = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)), nn.Linear(3, 3)
        sgd = torch.optim.SGD([*net.parameters(), *unused.parameters()], lr=0.3, momentum=0.9, weight_decay=0.01)
        scale = nn.Linear(1, 1)
        adam = torch.optim.Adam(scale.parameters(), lr=0.05)
        def loss(batch, step):
            out = scale(net(batch[0]))
            return {"loss": functional.mse_loss(out, batch[1]), "target": batch[1].mean()}
        yield Phase("fit", {"net": net, "unused": unused, "scale": scale}, Minibatches((x, y), 13), loss,
                    [(sgd, cosine(6)), (adam, cosine(6))], 6)

def log(row):
    if os.environ.get("STOP_AFTER") == str(row["epoch"]) and os.environ.get("RANK") == "1":
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
checkpoints = folder / ("checkpoints" if os.environ.get("RANK", "0") == "0" else "elsewhere")
run = train(Curve(), seed=3, checkpoints=checkpoints, checkpoint_every=2, log=log)
state = {f"{n}.{k}": v for n, m in run.modules["fit"].items() for k, v in m.state_dict().items()}
left = {open(name).read().strip() for name in glob.glob("/proc/self/task/*/comm")}
assert not [name for name in left if "gloo" in name], left  # such a thread may abort the process at its end
torch.save({"state": state, "curve": [[row["loss"], row["target"]] for row in run.curve]},
           folder / f"rank{os.environ.get('RANK', '0')}.pt")
"""


def launch(folder, ranks, **environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(ranks):
        place = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", SCRIPT, str(folder)]
        variables = os.environ | (place if ranks > 1 else {}) | environment
        processes.append(subprocess.Popen(command, env=variables, stderr=subprocess.PIPE))
    return processes


def finish(processes):
    with ended(*processes):
        for process in processes:
            _, errors = process.communicate(timeout=HUNG)
            assert process.returncode == 0, errors.decode()


def result(folder, rank=0):
    return torch.load(folder / f"rank{rank}.pt", weights_only=True)


def same(first, second):
    for name, value in first["state"].items():
        torch.testing.assert_close(second["state"][name], value, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(first["curve"], second["curve"], rtol=1e-4)


def test_two_processes_train_what_one_does_and_go_on_when_killed(tmp_path):
    """53 units in batches of 13, the last of 1: the second process has no share of that one."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    finish(launch(tmp_path / "one", 1))
    alone = result(tmp_path / "one")

    first, second = launch(tmp_path / "two", 2, STOP_AFTER="4")
    with ended(first, second):
        assert second.wait(timeout=HUNG) == -signal.SIGKILL
    assert not (tmp_path / "two" / "rank0.pt").exists()
    assert list((tmp_path / "two" / "checkpoints").iterdir())
    assert not (tmp_path / "two" / "elsewhere").exists()

    finish(launch(tmp_path / "two", 2))
    same(alone, result(tmp_path / "two", 0))
    same(result(tmp_path / "two", 0), result(tmp_path / "two", 1))


def test_ranks_without_an_address_are_told_how_to_start(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match="start them with torchrun"), replicas(torch.device("cpu")):
        pass
