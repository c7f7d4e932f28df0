"""Memory that writing takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("small_groups")


ADD = """if True:
    import sys, threading, numpy as np
    from wisecommittee.committees.cards import ModelCard
    from wisecommittee.store import LogitStore
    kind, path, root = sys.argv[1:]
    x = np.load(path, mmap_mode="r")

    def anonymous():  # kilobytes that are no file's
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

    LogitStore(root).add(ModelCard("warm", blocks={"w": 1}), "warm", labels=np.zeros(9), outputs=np.array(x[:9]))
    peak, done = [anonymous()], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak.append(anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    store = LogitStore(root)
    labels = np.zeros(len(x), int)
    if kind == "add":
        store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=x)
        store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=x)
    else:
        with store.writer(ModelCard("a", blocks={"a": 1}), "val", classes=x.shape[1]) as writer:
            for i in range(0, len(x), 100):
                writer.append([str(j) for j in range(i, i + 100)], labels[i:i + 100], np.array(x[i:i + 100]))
            writer.commit()
    done.set()
    watcher.join()
    print((max(peak) - peak[0]) / 1024)
"""


@pytest.mark.parametrize(("kind", "dtype"), [("add", np.float32), ("add", np.float64), ("stream", np.float32)])
def test_writing_holds_no_copy_of_a_mapped_array(tmp_path, kind, dtype):
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    shape = (8_000, 5_000)  # 160 MB as float32
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", dtype, shape)
    x[:] = np.arange(5_000) % 97
    x[:, 0] = np.arange(len(x))
    del x
    small_groups = "from wisecommittee.store.parquet import parts; parts.ROW_GROUP = 500"
    code = ADD.replace("if True:", f"if True:\n    {small_groups}", 1)
    arguments = [sys.executable, "-c", code, kind, str(tmp_path / "x.npy"), str(tmp_path / "logits")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 80  # megabytes; a row group is 10
