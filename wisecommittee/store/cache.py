"""Decoded outputs as memory-mapped .npy files in the user's cache folder, keyed by the hash of their content.

WISECOMMITTEE_CACHE names another folder; WISECOMMITTEE_CACHE_GB (default 50) bounds it; the least recently used go
first. A file ends with a checksum: one that was cut or changed is decoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError

Places: TypeAlias = NDArray[np.int64] | slice
Block: TypeAlias = tuple[Places, NDArray[Any]]  # places in the array, and their values

_SUMMED = 64 << 10  # bytes of one sum of the checksum
_ABANDONED = 86_400  # seconds after which a temporary file has no writer any more
_believed: set[tuple[Path, int, int, int]] = set()  # files whose checksum this process has seen to be right


def cache_folder() -> Path:
    if named := os.environ.get("WISECOMMITTEE_CACHE"):
        return Path(named).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wisecommittee"
    except RuntimeError:
        raise UsageError("this user has no home folder for a cache; name one with WISECOMMITTEE_CACHE") from None


def cached(key: str, shape: tuple[int, ...], dtype: np.dtype, blocks: Callable[[], Iterator[Block]]) -> NDArray[Any]:
    """Read-only array of that key, decoded once from `blocks`. Without a usable cache it is decoded into memory.

    blocks : yields places and values until every place is filled. The first is drawn before room is made for the array.
    """
    limit = _limit()
    size = int(np.prod(shape)) * dtype.itemsize
    try:
        path = cache_folder() / f"{key}.npy"
        if (found := _find(path, key, shape, dtype)) is not None:
            return found
        if size <= limit:
            path.parent.mkdir(parents=True, exist_ok=True)
            source = _drawn(blocks())
            _make_room(path.parent, limit - size)
            _decode(path, key, shape, dtype, source)
            if (found := _find(path, key, shape, dtype)) is not None:
                return found
    except (OSError, UsageError):
        pass
    source = _drawn(blocks())
    out = np.empty(shape, dtype)
    for places, values in source:
        out[places] = values
    out.flags.writeable = False
    return out


def _drawn(blocks: Iterator[Block]) -> Iterable[Block]:
    """The same blocks, after the first has been computed."""
    return chain(list(islice(blocks, 1)), blocks)


def _find(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any] | None:
    """The mapped array, if the file is whole."""
    header = _header(shape, dtype)
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as handle:
        status = os.fstat(handle.fileno())
        end = len(header) + int(np.prod(shape)) * dtype.itemsize
        if handle.read(len(header)) != header or status.st_size != end + hashlib.blake2b().digest_size:
            return None
        values = np.memmap(handle, dtype, "r", offset=len(header), shape=shape)
        handle.seek(end)
        stamp = _stamp(path, status)
        if stamp not in _believed:
            if handle.read() != _checksum(key, values):
                return None
            _believed.add(stamp)
        with contextlib.suppress(OSError):
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))  # accessed now, changed as before
        return values
    return None


def _decode(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype, blocks: Iterable[Block]) -> None:
    header = _header(shape, dtype)
    end = len(header) + int(np.prod(shape)) * dtype.itemsize
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as handle:
        temporary = Path(handle.name)
        try:
            handle.write(header)
            handle.flush()
            _allocate(handle.fileno(), end)
            out = np.memmap(temporary, dtype, "r+", offset=len(header), shape=shape)
            for places, values in blocks:
                out[places] = values
            handle.seek(end)
            handle.write(_checksum(key, out))
            handle.flush()
            stamp = _stamp(path, os.fstat(handle.fileno()))
            os.replace(temporary, path)
            _believed.add(stamp)  # another look would bring all of it into memory
        finally:
            temporary.unlink(missing_ok=True)


def _stamp(path: Path, status: os.stat_result) -> tuple[Path, int, int, int]:
    return path, status.st_ino, status.st_mtime_ns, status.st_size


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    out = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(out, described)
    return out.getvalue()


def _allocate(file: int, size: int) -> None:
    """A full disk fails here, not in a page fault."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _checksum(key: str, values: NDArray[Any]) -> bytes:
    """Hash of the key and of the 64-bit sums of all blocks: one pass at the speed of memory."""
    flat = values.reshape(-1).view(np.uint8)
    whole = flat.size - flat.size % _SUMMED
    sums = flat[:whole].view(np.uint64).reshape(-1, _SUMMED // 8).sum(axis=1, dtype=np.uint64)
    return hashlib.blake2b(key.encode() + sums.tobytes() + flat[whole:].tobytes()).digest()


def _limit() -> float:
    given = os.environ.get("WISECOMMITTEE_CACHE_GB", "50")
    try:
        return float(given) * 1e9
    except ValueError:
        raise UsageError(f"WISECOMMITTEE_CACHE_GB is {given!r}; expected a number of gigabytes") from None


def _make_room(folder: Path, limit: float) -> None:
    """Remove what killed processes left, and what was used least recently until at most `limit` bytes remain."""
    entries = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            status = path.stat()
            if path.suffix == ".npy":
                entries.append((status.st_atime_ns, status.st_size, path))
            elif path.name.startswith(".") and path.suffix == ".tmp" and time.time() - status.st_mtime > _ABANDONED:
                path.unlink()
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            break
        with contextlib.suppress(OSError):
            path.unlink()  # a process that has it mapped keeps its pages
            total -= size
