"""What the tests of extractions share: small networks, data in every shape, and a forward loop written by hand."""

from __future__ import annotations

import hashlib
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

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


def command(monkeypatch, *arguments, name="extract"):
    """Exit code of `wisecommittee extract ..`; what it prints is for capsys."""
    from wisecommittee.cli import main

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "argv", ["wisecommittee", name, *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


class Reads(Dataset):
    """Notes which rows are read."""

    def __init__(self, x, y):
        self.x, self.y, self.read = x, y, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.read.append(i)
        return self.x[i], self.y[i]


class Returns(nn.Module):
    def __init__(self, change, classes=CLASSES):
        super().__init__()
        self.linear, self.change = nn.Linear(FEATURES, classes), change

    def forward(self, x):
        return self.change(self.linear(x))


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


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from wisecommittee.extraction.extract import extract
from wisecommittee.store import LogitStore
extract(["user_nets:Counted"], sys.argv[1], "val", LogitStore("logits"), batch_size=700)
"""


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith((".lock", ".turn"))  # a killed writer's; the next one takes them
    }
