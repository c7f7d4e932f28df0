"""`wisecommittee search` as a user meets it: whole processes over a store of the paper's size.

The first search of an installation compiles the kernels, the first over a store decodes its Parquet; later ones find
both in caches, bytecode too, and the logits in the page cache.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.synthetic import Synthetic
from wisecommittee.store import LogitStore

CODE = "import sys; sys.argv[0] = 'wisecommittee'; from wisecommittee.cli import main; main()"


def run(units: int = 25_000, classes: int = 1000) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for dtype in ("float32", "float16"):
            store = _written(Path(folder, dtype), units, classes, dtype)
            lines += _measured(Path(folder, dtype), store, f"{units:,} x {classes} x 32, {dtype}")
        return lines


def _written(folder: Path, units: int, classes: int, dtype: str) -> Path:
    source = Synthetic(units, classes)
    store = LogitStore(folder / "logits")
    for card in source.cards("val"):
        outputs = source.outputs(card.model, "val")
        store.add(card.without_contents(), "val", labels=source.labels("val"), outputs=outputs, dtype=dtype)
    return folder / "logits"


def _measured(folder: Path, store: Path, what: str) -> list[dict]:
    environment = os.environ | {
        "WISECOMMITTEE_CACHE": str(folder / "cache"),
        "WISECOMMITTEE_CACHE_GB": "20",
        "NUMBA_CACHE_DIR": str(folder / "jit"),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", CODE, "search", "--store", str(store), "--threads", "2", "--json"]

    def once() -> tuple[float, float, float, float]:
        """Wall seconds, CPU seconds, and the peaks of memory without and with the mapped logits, GB."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        own = whole = 0.0
        while process.poll() is None:
            own = max(own, _memory(process.pid, "RssAnon"))
            whole = max(whole, _memory(process.pid, "VmHWM"))
            time.sleep(0.02)
        wall = time.perf_counter() - started
        assert process.returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, own, whole

    name = f"search, a new process: {what}"
    decoding = once()
    warm = [once() for _ in range(3)]
    for file in (folder / "jit").rglob("*.nb?"):
        file.unlink()
    cold = once()
    wall, cpu, own, whole = (round(min(figures), 2) for figures in zip(*warm, strict=True))
    return [
        {"benchmark": name, "wall_seconds": wall, "cpu_seconds": cpu, "own_memory_gb": own,
         "peak_memory_gb": whole},
        {"benchmark": f"{name}, compiling", "cpu_seconds": round(cold[1], 2),
         "compiling_cpu_seconds": round(cold[1] - cpu, 2)},
        {"benchmark": f"{name}, compiling and decoding", "wall_seconds": round(decoding[0], 2),
         "cpu_seconds": round(decoding[1], 2), "own_memory_gb": round(decoding[2], 2),
         "peak_memory_gb": round(decoding[3], 2)},
    ]  # fmt: skip


def _memory(process: int, name: str) -> float:
    """What the system says of a process, GB: RssAnon, resident now and no mapped file; VmHWM, most resident at all. 0
    where it does not say."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 / 1e9 for line in text.splitlines() if line.startswith(name)), 0.0)
