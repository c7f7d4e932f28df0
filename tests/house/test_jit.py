"""Compiled kernels are kept between processes, and thrown away when any kernel's source changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wisecommittee

RUN = """
import numpy as np
from wisecommittee.kernels.stages import rows
halves = np.array([1.0], np.float16).view(np.uint16)
out = np.empty(1, np.float32)
rows.widen(halves, out)
print(out[0], rows.widen.stats.cache_hits.total())
"""


def test_a_change_of_one_source_recompiles_what_calls_it(tmp_path):
    package = tmp_path / "wisecommittee"
    package.mkdir()
    (package / "__init__.py").touch()
    kernels = Path(wisecommittee.__file__).parent / "kernels"
    shutil.copytree(kernels, package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | {
        "PYTHONPATH": str(tmp_path),
        "NUMBA_CACHE_DIR": str(tmp_path / "jit"),
    }

    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert run() == ["1.0", "0"]
    assert run() == ["1.0", "1"]
    source = package / "kernels" / "jit.py"
    same = "return builder.bitcast(arguments[0], ir.FloatType())"
    text = source.read_text()
    assert same in text
    doubled = "return builder.fmul(ir.Constant(ir.FloatType(), 2.0), builder.bitcast(arguments[0], ir.FloatType()))"
    source.write_text(text.replace(same, doubled))
    assert run() == ["2.0", "0"]
    assert run() == ["2.0", "1"]
    with (package / "kernels" / "simd" / "ir.py").open("a") as other:  # in another folder than the kernel
        other.write("CHANGED = True\n")
    assert run() == ["2.0", "0"]


NOWHERE = """
from numba.core.caching import CompileResultCacheImpl
CompileResultCacheImpl._locator_classes = []
"""
FULL = """
import errno
from numba.core.caching import IndexDataCacheFile
def full(self, key, data):
    raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile.save = full
"""


@pytest.mark.parametrize("cause", [NOWHERE, FULL], ids=["no folder can be written", "the disk is full"])
def test_kernels_run_where_compiled_code_cannot_be_kept(tmp_path, cause):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    # Two kernels, one warning.
    code = f"{cause}{RUN}from wisecommittee.kernels import jit\njit.load()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "1.0"
    assert done.stderr.count("set NUMBA_CACHE_DIR") == 1


def test_damaged_compiled_code_is_compiled_anew(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def run() -> list[str]:
        done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert run() == ["1.0", "0"]
    for file in tmp_path.rglob("*.nbi"):
        file.write_bytes(file.read_bytes()[:60])
    assert run() == ["1.0", "0"]
    assert run() == ["1.0", "1"]
