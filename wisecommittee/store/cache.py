"""Decoded outputs as memory-mapped .npy files in the user's cache folder, keyed by the hash of their content.

WISECOMMITTEE_CACHE names another folder; WISECOMMITTEE_CACHE_GB (default 50) bounds it: the least recently used go first.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def cache_folder() -> Path:
    if named := os.environ.get("WISECOMMITTEE_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wisecommittee"


def cached(key: str, shape: tuple[int, ...], dtype: np.dtype, fill: Callable[[NDArray], None]) -> NDArray:
    """Read-only array of that key, decoded once by `fill`. Without a writable cache it is decoded into memory."""
    path = cache_folder() / f"{key}.npy"
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.shape == shape and found.dtype == dtype:
            with contextlib.suppress(OSError):
                os.utime(path)
            return found
    except (OSError, ValueError):
        pass
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(np.prod(shape)) * dtype.itemsize
        _make_room(path.parent, size)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as handle:
            temporary = Path(handle.name)
            try:
                np.lib.format.write_array_header_2_0(
                    handle, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                )
                offset = handle.tell()
                os.posix_fallocate(handle.fileno(), 0, offset + max(size, 1))  # a full disk fails here, not in a page fault
                if size:
                    fill(np.memmap(temporary, dtype=dtype, mode="r+", offset=offset, shape=shape))
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        out = np.empty(shape, dtype)
        fill(out)
        out.flags.writeable = False
        return out


def _make_room(folder: Path, needed: int) -> None:
    limit = float(os.environ.get("WISECOMMITTEE_CACHE_GB", "50")) * 1e9
    entries = []
    for path in folder.glob("*.npy"):
        with contextlib.suppress(OSError):
            status = path.stat()
            entries.append((status.st_mtime, status.st_size, path))
    total = needed + sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            break
        with contextlib.suppress(OSError):
            path.unlink()  # a process that has it mapped keeps its pages
            total -= size
