"""Decoded outputs as memory-mapped .npy files in the user's cache folder, keyed by the hash of their content.

WISECOMMITTEE_CACHE names another folder; WISECOMMITTEE_CACHE_GB (default 50) bounds it; the least recently used go
first. A file ends with a checksum: a file that was cut or changed is decoded again. A mapped array keeps no file open.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wisecommittee.errors import UsageError
from wisecommittee.reading import check_memory
from wisecommittee.writing import is_temporary, whole_file

Positions: TypeAlias = NDArray[np.int64] | slice
Block: TypeAlias = tuple[Positions, NDArray[Any]]  # where in the array, and the values

_ROW = 64 << 10  # bytes in a row of the checksum
_ROWS = 256  # rows that are summed by column: 16 MB
_ABANDONED = 86_400  # seconds after which a temporary file counts as abandoned
_RESCAN = 20  # the folder is looked at again when a twentieth of its limit was written
_believed: set[tuple[Path, int, int, int]] = set()  # files whose checksum this process has verified


def cache_folder() -> Path:
    if named := os.environ.get("WISECOMMITTEE_CACHE"):
        return Path(named).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wisecommittee"
    except RuntimeError:
        raise UsageError("this user has no home folder for a cache; name one with WISECOMMITTEE_CACHE") from None


def cached(
    key: str, shape: tuple[int, ...], dtype: np.dtype, blocks: Callable[[], Iterator[Block]], what: str
) -> NDArray[Any]:
    """Read-only array of that key, decoded once from `blocks`. Without a usable cache it is decoded into memory.

    blocks : yields positions in the array and their values until the array is filled. The first block is computed
    before room is made for the array. what : the array, in messages.
    """
    limit = _limit()
    size = math.prod(shape) * dtype.itemsize
    with contextlib.suppress(OSError, UsageError, UnicodeError):
        path = cache_folder() / f"{key}.npy"
        if (array := _whole_array(path, key, shape, dtype)) is not None:
            return array
        if size <= limit:
            path.parent.mkdir(parents=True, exist_ok=True)
            _decode(path, key, shape, dtype, _drawn(blocks()), limit)
            if (array := _whole_array(path, key, shape, dtype)) is not None:
                return array
    source = _drawn(blocks())
    check_memory(size, what, "give the cache room for it with WISECOMMITTEE_CACHE and WISECOMMITTEE_CACHE_GB")
    out = np.empty(shape, dtype)
    for positions, values in source:
        out[positions] = values
    out.flags.writeable = False
    return out


def _drawn(blocks: Iterator[Block]) -> Iterable[Block]:
    """The same blocks, after the first has been computed."""
    return chain(list(islice(blocks, 1)), blocks)


def _whole_array(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any] | None:
    """The mapped array, or None unless the file is complete and unchanged."""
    header = _header(shape, dtype)
    end = len(header) + math.prod(shape) * dtype.itemsize
    try:
        # A link of that name is not followed, and a pipe is not waited for.
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(opened, "rb") as handle:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_size != end + hashlib.blake2b().digest_size:
            return None
        if handle.read(len(header)) != header:
            return None
        handle.seek(end)
        checksum = handle.read()
    values = _mapped(path, len(header), end, shape, dtype)
    stamp = _stamp(path, status)
    if stamp not in _believed:
        if checksum != _checksum(key, values):
            return None
        _believed.add(stamp)
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))  # accessed now, changed as before
    return values


def _mapped(path: Path, start: int, end: int, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
    """Bytes of a file as a read-only array. numpy's own map would hold the file open, and a search opens thousands."""
    with pa.memory_map(os.fspath(path)) as file:
        buffer = file.read_buffer()
    return np.frombuffer(buffer, np.uint8)[start:end].view(dtype).reshape(shape)


def _decode(
    path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype, blocks: Iterable[Block], limit: float
) -> None:
    header = _header(shape, dtype)
    end = len(header) + math.prod(shape) * dtype.itemsize
    with whole_file(path, sync=False) as handle:
        _room.take(path.parent, limit, end, lambda: _allocate(handle.fileno(), end))
        handle.write(header)
        handle.flush()
        out = np.memmap(handle, dtype, "r+", offset=len(header), shape=shape)
        for positions, values in blocks:
            out[positions] = values
        handle.seek(end)
        handle.write(_checksum(key, out))
        handle.flush()
        stamp = _stamp(path, os.fstat(handle.fileno()))
    _believed.add(stamp)  # verifying it again would read the whole file into memory


def _stamp(path: Path, status: os.stat_result) -> tuple[Path, int, int, int]:
    return path, status.st_ino, status.st_mtime_ns, status.st_size


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    out = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(out, described)
    return out.getvalue()


def _allocate(file: int, size: int) -> None:
    """Reserve the space, so that a full disk fails here and not in a page fault."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _checksum(key: str, values: NDArray[Any]) -> bytes:
    """Hash of the key and of sums of 64-bit words: of each row of 64 KB, and of each column of 256 rows.

    Whatever changes within one row changes a column's sum, and two words that changed places change a sum of their row
    or of their columns. A hash of all bytes would take ten times as long.
    """
    flat = values.reshape(-1).view(np.uint8)
    whole = flat.size - flat.size % _ROW
    words = flat[:whole].view(np.uint64).reshape(-1, _ROW // 8)
    digest = hashlib.blake2b(key.encode())
    for start in range(0, len(words), _ROWS):
        block = words[start : start + _ROWS]
        digest.update(block.sum(axis=1, dtype=np.uint64).tobytes())
        digest.update(block.sum(axis=0, dtype=np.uint64).tobytes())
    digest.update(flat[whole:].tobytes())
    return digest.digest()


def _limit() -> float:
    given = os.environ.get("WISECOMMITTEE_CACHE_GB", "50")
    try:
        limit = float(given) * 1e9
    except ValueError:
        limit = math.nan
    if not limit >= 0:
        raise UsageError(f"WISECOMMITTEE_CACHE_GB is {given!r}; expected a number of gigabytes from 0")
    return limit


class _Room:
    """The bytes that this process may add to the cache folder before it lists the folder again: a twentieth of the
    limit while so much is free, else none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Path, float] | None = None
        self._spare = 0.0

    def take(self, folder: Path, limit: float, size: int, allocate: Callable[[], None]) -> None:
        """Make room for a file and allocate it before others ask."""
        with self._lock:
            if (folder, limit) != self._known or size > self._spare:
                free = _make_room(folder, limit, size)
                self._known, self._spare = (folder, limit), limit / _RESCAN if free >= limit / _RESCAN else 0.0
            else:
                self._spare -= size
            allocate()


_room = _Room()


def _make_room(folder: Path, limit: float, size: int) -> float:
    """Remove files of killed processes and the least recently used files, until `size` more bytes fit into the limit.
    Returns the bytes that are then still free.

    Files that this or another process is writing count in full: their space is allocated at the start.
    """
    entries = []
    total = size
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            total += status.st_size
            if entry.name.endswith(".npy"):
                entries.append((status.st_atime_ns, status.st_size, entry.path))
            elif is_temporary(entry.name) and time.time() - status.st_mtime > _ABANDONED:
                os.unlink(entry.path)
                total -= status.st_size
    for _, bytes_, path in sorted(entries):
        if total <= limit:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)  # a process that has it mapped keeps its pages
            total -= bytes_
    return limit - total
