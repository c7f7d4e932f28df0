"""The few file operations a store needs, on local disks and on object stores (pyarrow.fs).

Writes are whole or absent: locally a dot-prefixed temporary, fsync and rename; on an object store one PUT.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from wisecommittee.errors import BusyError, StoreError, UsageError

MAX_JSON = 16 << 20
MAX_FILE = 4 << 30


class Files:
    """Files below one root; every path is relative to it and uses '/'."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.uri = os.fspath(root)
        if "://" in self.uri and not self.uri.startswith("file://"):
            try:
                self.fs, self.root = fs.FileSystem.from_uri(self.uri)
            except Exception as error:  # pyarrow raises its own and OSError kinds
                raise UsageError(f"store {self.uri!r}: {error}") from error
            self.local: Path | None = None
        else:
            self.local = Path(self.uri.removeprefix("file://")).expanduser().absolute()
            self.fs, self.root = fs.LocalFileSystem(), str(self.local)

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _info(self, path: str) -> fs.FileInfo:
        return self.fs.get_file_info(self._full(path))

    def exists(self, path: str = "") -> bool:
        return self._info(path).type != fs.FileType.NotFound

    def size(self, path: str) -> int:
        return self._info(path).size or 0

    def names(self, path: str = "") -> list[str]:
        """Sorted names directly below a folder; empty if there is none."""
        selector = fs.FileSelector(self._full(path), allow_not_found=True)
        return sorted(info.base_name for info in self.fs.get_file_info(selector))

    def read(self, path: str, limit: int = MAX_FILE) -> bytes:
        info = self._info(path)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(self._full(path))
        if info.size is not None and info.size > limit:
            raise StoreError(f"{self._full(path)} has {info.size:,} bytes; at most {limit:,} are expected")
        with self.fs.open_input_file(self._full(path)) as source:
            return source.read()

    def write(self, path: str, data: bytes, *, exclusive: bool = False) -> bool:
        """Write a whole file. exclusive: return False, changing nothing, if it exists already."""
        if self.local is None:
            if exclusive and self.exists(path):
                return False
            with self.fs.open_output_stream(self._full(path)) as sink:
                sink.write(data)
            return True
        target = self.local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp"
        try:
            with open(temporary, "wb") as sink:
                sink.write(data)
                sink.flush()
                os.fsync(sink.fileno())
            if exclusive:
                try:
                    os.link(temporary, target)
                except FileExistsError:
                    return False
            else:
                os.replace(temporary, target)
            sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.delete_file(self._full(path))

    def delete_folder(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.delete_dir(self._full(path))

    @contextlib.contextmanager
    def lock(self, path: str, what: str) -> Iterator[None]:
        """One writer at a time on a local disk; released by the system when the process dies. A no-op on object stores."""
        if self.local is None:
            yield
            return
        target = self.local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "ab") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"{what}: another process is writing it; wait for it to finish, then run again") from None
            except OSError:  # a file system without locks: carry on as an object store would
                yield
                return
            yield


def sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
