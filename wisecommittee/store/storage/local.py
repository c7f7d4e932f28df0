"""A store's files on a local disk.

The root may be a link; nothing below it is written, locked or removed through one. Reading follows links, and never
waits for a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wisecommittee.errors import BusyError, StoreError
from wisecommittee.store.storage.files import MAX_FILE, Files, Stamp
from wisecommittee.writing import is_temporary, kind_of, whole_file

TURN_WAIT = 150.0  # seconds
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class _Lock:
    """A locked file, open, and the open folder it is in."""

    file: int
    folder: int
    name: str


class LocalFiles(Files):
    local: Path

    def __init__(self, uri: str, root: Path) -> None:
        self.uri, self.local = uri, root
        self.root = os.fspath(root)

    # Reading

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _status(self, path: str) -> os.stat_result | None:
        try:
            with self._explained(path):
                return os.stat(self._full(path))
        except FileNotFoundError:
            return None
        except StoreError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _MISSING:
                return None
            raise

    def exists(self, path: str = "") -> bool:
        return self._status(path) is not None

    def stamp(self, path: str) -> Stamp | None:
        status = self._status(path)
        return None if status is None or not stat.S_ISREG(status.st_mode) else _stamp(status)

    def names(self, path: str = "") -> list[str]:
        try:
            with self._explained(path):
                return sorted(os.listdir(self._full(path)))
        except FileNotFoundError:
            return []
        except StoreError as error:
            below = isinstance(error.__cause__, NotADirectoryError) and path and os.path.isdir(self.root)
            if below or (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ELOOP):
                return []
            raise

    def stamps(self, path: str, name: str) -> dict[str, Stamp]:
        stamps: dict[str, Stamp] = {}
        folders = self.names(path)
        if not folders:
            return stamps
        with self._explained(path), _opened(self._full(path), _FOLDER) as opened:
            for folder in folders:  # thousands: relative to the open folder, each look-up takes half the time
                with contextlib.suppress(OSError):
                    status = os.stat(f"{folder}/{name}", dir_fd=opened)
                    if stat.S_ISREG(status.st_mode):
                        stamps[folder] = _stamp(status)
        return stamps

    def odd(self, path: str = "") -> dict[str, str]:
        kinds = {}
        for name in self.names(path):
            with contextlib.suppress(FileNotFoundError):
                mode = os.lstat(self._full(f"{path}/{name}" if path else name)).st_mode
                if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                    kinds[name] = kind_of(mode)
                elif not _is_utf8(os.fsencode(name)):
                    kinds[name] = "a name that is not UTF-8"
        return kinds

    def is_link(self, path: str) -> bool:
        return os.path.islink(self._full(path))

    def read(self, path: str, limit: int = MAX_FILE) -> bytes:
        status = self._status(path)
        if status is None or stat.S_ISDIR(status.st_mode):
            raise FileNotFoundError(self.uri_of(path))
        self._require_file(path, status)
        with self._explained(path):
            # Should it have become a pipe meanwhile, opening it does not wait for a writer.
            opened = os.open(self._full(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(opened, "rb") as file:
                status = os.fstat(opened)
                self._require_file(path, status)
                self._check_size(path, status.st_size, limit)
                return file.read()

    def _require_file(self, path: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(
                f"{self.uri_of(path)}: {kind_of(status.st_mode)}; expected a file; remove it, then run again"
            )

    # Writing: every folder on the way is opened by the one above it

    @contextlib.contextmanager
    def _folder(self, path: str, *, make: bool = False) -> Iterator[int]:
        """Descriptor of a folder that is reached without following a link below the root."""
        if make:
            os.makedirs(self.root, exist_ok=True)
        opened = os.open(self.root, _FOLDER)
        try:
            done = ""
            for name in path.split("/") if path else ():
                done = f"{done}/{name}" if done else name
                below = self._below(opened, name, done, make)
                os.close(opened)
                opened = below
            yield opened
        finally:
            os.close(opened)

    def _below(self, folder: int, name: str, path: str, make: bool) -> int:
        try:
            return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except OSError:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise StoreError(
                    f"{self.uri_of(path)}: a symbolic link; nothing is written or removed through one; put a folder in "
                    f"its place"
                ) from None
            raise

    def write(self, path: str, data: bytes | memoryview) -> None:
        folder, name = _divided(path)
        with (
            self._explained(path),
            self._folder(folder, make=True) as opened,
            whole_file(name, folder=opened) as file,
        ):
            file.write(data)

    def delete(self, path: str) -> None:
        folder, name = _divided(path)
        with contextlib.suppress(FileNotFoundError), self._explained(path), self._folder(folder) as opened:
            os.unlink(name, dir_fd=opened)

    def delete_folder(self, path: str) -> None:
        """Delete a folder, or a link, pipe or file of that name; never the target of a link."""
        folder, name = _divided(path)
        with contextlib.suppress(FileNotFoundError), self._explained(path), self._folder(folder) as opened:
            while stat.S_ISDIR(os.stat(name, dir_fd=opened, follow_symlinks=False).st_mode):
                with contextlib.suppress(FileNotFoundError):  # another process removes it too
                    shutil.rmtree(name, dir_fd=opened)
            os.unlink(name, dir_fd=opened)

    def delete_temporaries(self, path: str) -> None:
        for name in self.names(path):
            if is_temporary(name):
                self.delete(f"{path}/{name}")

    def rename(self, path: str, target: str) -> None:
        """Move a folder directly below the root."""
        with (
            self._explained(path),
            self._folder(_divided(path)[0]) as source,
            self._folder(_divided(target)[0]) as destination,
        ):
            os.rename(_divided(path)[1], _divided(target)[1], src_dir_fd=source, dst_dir_fd=destination)

    # Taking turns

    @contextlib.contextmanager
    def lock(self, path: str, what: str) -> Iterator[None]:
        with self._explained(path):
            held = self._locked(path)
        if held is None:
            raise BusyError(f"{what}: another process is writing it; wait for it to finish, then run again")
        try:
            yield
        finally:
            self._unlock(held, path)

    @contextlib.contextmanager
    def turn(self, folder: str, owner: str, what: str) -> Iterator[Callable[[], None]]:
        path = f"{folder}/.turn"
        deadline = time.monotonic() + TURN_WAIT
        while True:
            with self._explained(path):
                held = self._locked(path)
            if held is not None:
                break
            if time.monotonic() > deadline:
                raise BusyError(f"{what}: others keep {self.uri_of(folder)} busy; wait for them, then run again")
            time.sleep(random.uniform(0.01, 0.05))
        try:
            yield lambda: None
        finally:
            self._unlock(held, path)

    def _locked(self, path: str) -> _Lock | None:
        """The locked file; None if another process has it. On a file system without locks, every process gets it."""
        folder, name = _divided(path)
        while True:
            with contextlib.suppress(FileNotFoundError), self._folder(folder, make=True) as opened:
                file = self._lock_file(opened, name, path)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(file)
                    return None
                except OSError:
                    return _Lock(file, os.dup(opened), name)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file), os.stat(name, dir_fd=opened, follow_symlinks=False)):
                        return _Lock(file, os.dup(opened), name)
                os.close(file)  # its last holder has removed it since

    def _lock_file(self, folder: int, name: str, path: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            self._require_file(path, os.stat(name, dir_fd=folder, follow_symlinks=False))
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, 0o666, dir_fd=folder)

    def _unlock(self, held: _Lock, path: str) -> None:
        """Remove the lock file while it is held, so that a forked child which inherited it holds nothing that counts.

        Its folder goes too if nothing else is in it.
        """
        with contextlib.suppress(OSError):
            os.unlink(held.name, dir_fd=held.folder)
        os.close(held.file)
        os.close(held.folder)
        above, name = _divided(_divided(path)[0])
        with contextlib.suppress(OSError, StoreError), self._folder(above) as opened:
            os.rmdir(name, dir_fd=opened)


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    opened = os.open(path, flags)
    try:
        yield opened
    finally:
        os.close(opened)


def _divided(path: str) -> tuple[str, str]:
    """'val/model=a/card.json' -> ('val/model=a', 'card.json')"""
    folder, _, name = path.rpartition("/")
    return folder, name


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino
