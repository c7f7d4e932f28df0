"""Units, bits and order do not depend on how an extraction is run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from extractions import SCRIPT, tree
from processes import HUNG

from wisecommittee.errors import (
    BusyError,
)
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.store import LogitStore
from wisecommittee.store.layout import lock_name


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
    command = [sys.executable, "-c", DRIVER, "user_nets:data", "8"]
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
    with store.files.lock(lock_name("val", "small", 0), "small"):
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
        with contextlib.suppress(BusyError), store.files.lock(lock_name("val", "Counted", 0), "test"):
            break
        time.sleep(0.01)
    (item,) = extract(["user_nets:Counted"], "user_nets:items", "val", store, batch_size=700)
    assert item.status == "added"
