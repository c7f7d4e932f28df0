"""The few file operations a store needs, on local disks and on object stores (pyarrow.fs).

Writes are whole or absent: locally a dot-prefixed temporary, fsync and rename; on an object store one PUT. What the
system refuses (no permission, a full disk, a file where a folder should be) becomes one StoreError with the remedy.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from wisecommittee.errors import BusyError, StoreError, UsageError

MAX_JSON = 16 << 20
MAX_FILE = 4 << 30
TURN_STALE = 120.0  # seconds after which the claim of a killed process is ignored on an object store
TURN_WAIT = 150.0  # longer than that, so that a rerun outlives the claim

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run again, whole parts are kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, whole parts are kept",
    errno.EFBIG: "larger than a file may be here; raise the limit or use another place, then run again",
    errno.EACCES: "no permission; change its owner or mode, or name another place with --store",
    errno.EPERM: "no permission; change its owner or mode, or name another place with --store",
    errno.EROFS: "a read-only file system; name another place with --store",
    errno.ENOTDIR: "a file stands where the store needs a folder; move it, or name another place with --store",
    errno.EEXIST: "a file stands where the store needs a folder; move it, or name another place with --store",
    errno.ENAMETOOLONG: "longer than a file name may be; choose a shorter name",
}


class Files:
    """Files below one root; every path is relative to it and uses '/'. uri : the root as given, without credentials."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        given = os.fspath(root)
        if not given or "\0" in given:
            raise UsageError(f"store {given!r}: expected a folder or a URI; name one with --store")
        self.uri = _without_credentials(given)
        self.local: Path | None = None
        try:
            if "://" in given and not given.startswith("file://"):
                self.fs, path = fs.FileSystem.from_uri(given)
                self.root = path.rstrip("/")
                if not self.root:
                    raise ValueError("no bucket is named")
            else:
                path = unquote(urlsplit(given).path) if given.startswith("file://") else given
                self.local = Path(path).expanduser().absolute()
                self.fs, self.root = fs.LocalFileSystem(), str(self.local)
        except Exception as error:  # pyarrow raises its own and OSError kinds, pathlib RuntimeError
            reason = str(error).replace(given, self.uri)
            raise UsageError(f"store {self.uri!r}: {reason}; expected a folder or s3://BUCKET/FOLDER") from error

    def place(self, path: str) -> str:
        """A path as messages name it."""
        return f"{self.uri.partition('?')[0].rstrip('/')}/{path}" if path else self.uri

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            number = error.errno if isinstance(error, OSError) else None
            reason = str(error).splitlines()[0] + "; check that it can be reached, then run again"
            raise StoreError(f"{self.place(path)}: {_REMEDIES.get(number or 0, reason)}") from error

    def _info(self, path: str) -> fs.FileInfo:
        with self._explained(path):
            return self.fs.get_file_info(self._full(path))

    def _list(self, path: str) -> list[fs.FileInfo]:
        with self._explained(path):
            selector = fs.FileSelector(self._full(path), allow_not_found=True)
            for _ in range(3):
                # A folder that comes or goes while it is listed is reported as missing in spite of allow_not_found.
                with contextlib.suppress(FileNotFoundError):
                    return self.fs.get_file_info(selector)
            return []

    def exists(self, path: str = "") -> bool:
        return self._info(path).type != fs.FileType.NotFound

    def stamp(self, path: str) -> tuple[int, int] | None:
        """Changes when the file does; None if there is none."""
        info = self._info(path)
        return (info.mtime_ns or 0, info.size or 0) if info.type == fs.FileType.File else None

    def names(self, path: str = "") -> list[str]:
        """Sorted names directly below a folder; empty if there is none."""
        return sorted(info.base_name for info in self._list(path))

    def read(self, path: str, limit: int = MAX_FILE) -> bytes:
        info = self._info(path)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(self.place(path))
        if info.size is not None and info.size > limit:
            raise StoreError(
                f"{self.place(path)}: {info.size:,} bytes; expected {limit:,} at most; no store writes that, restore it"
            )
        with self._explained(path), self.fs.open_input_file(self._full(path)) as source:
            return source.read()

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Write a whole file, in place of the one that is there. The caller holds the lock that covers it."""
        with self._explained(path):
            if self.local is None:
                with self.fs.open_output_stream(self._full(path)) as sink:
                    sink.write(data)
                return
            target = self.local / path
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.tmp")  # a killed writer's is overwritten by the rerun
            try:
                with open(temporary, "wb") as handle:
                    handle.write(data)
                    handle.flush()
                    os.fsync(handle.fileno())
                os.replace(temporary, target)
                _sync_folder(target.parent)
            finally:
                temporary.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(path):
            self.fs.delete_file(self._full(path))

    def delete_folder(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(path):
            self.fs.delete_dir(self._full(path))

    @contextlib.contextmanager
    def lock(self, path: str, what: str) -> Iterator[None]:
        """One writer at a time on a local disk, until its process ends or dies. A no-op on object stores."""
        with self._explained(path):
            held = None if self.local is None else _flock(self.local / path)
        if held is None and self.local is not None:
            raise BusyError(f"{what}: another process is writing it; wait for it to finish, then run again")
        try:
            yield
        finally:
            if held is not None:
                _unlock(held)

    @contextlib.contextmanager
    def turn(self, folder: str, owner: str, what: str) -> Iterator[None]:
        """A few operations in a folder that nobody else interrupts; waits for those before. owner : one word."""
        deadline = time.monotonic() + TURN_WAIT
        claim = f"{folder}/.turn-{owner}" if self.local is None else f"{folder}/.turn"
        held: IO[bytes] | None = None
        while True:
            if self.local is not None:
                with self._explained(claim):
                    held = _flock(self.local / claim)
                if held is not None:
                    break
            elif self._is_alone(folder, claim):
                break
            if time.monotonic() > deadline:
                raise BusyError(f"{what}: others keep {self.place(folder)} busy; wait for them, then run again")
            time.sleep(random.uniform(0.01, 0.05))
        try:
            yield
        finally:
            if held is not None:
                _unlock(held)
            else:
                self.delete(claim)

    def _is_alone(self, folder: str, claim: str) -> bool:
        """Claim a turn on an object store: whoever lists no claim but its own has it.

        Of two claims the later listing sees both, so two never have it; all but the first by name step back meanwhile.
        """
        self.write(claim, b"")
        own = claim.rpartition("/")[2]
        written = {info.base_name: info.mtime_ns or 0 for info in self._list(folder)}
        oldest = written.get(own, 0) - TURN_STALE * 1e9
        others = [n for n, time_ns in written.items() if n.startswith(".turn-") and n != own and time_ns > oldest]
        if others and own > min(others):
            self.delete(claim)
        return not others


def _without_credentials(uri: str) -> str:
    return re.sub("^([^/]+://)[^/@]*@", r"\1", uri)


def _flock(path: Path) -> IO[bytes] | None:
    """The open, locked file; None if another process has it. Without locks in the file system everybody gets it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            handle = open(path, "ab")  # noqa: SIM115
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                return None
            except OSError:
                return handle
            try:
                if os.path.samestat(os.fstat(handle.fileno()), os.stat(path)):
                    return handle
            except FileNotFoundError:
                pass
            handle.close()  # its last holder has removed it since


def _unlock(handle: IO[bytes]) -> None:
    """Remove the lock file while it is held, so that a forked child which inherited it holds nothing that counts.

    Its folder goes too if nothing else is in it.
    """
    path = Path(handle.name)
    with contextlib.suppress(OSError):
        path.unlink()
        path.parent.rmdir()
    handle.close()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
