"""The few file operations a store needs: on local disks (local.py) and on object stores (object_store.py).

Writes are whole or absent. A refusal of the system (no permission, a full disk, a file in place of a folder) becomes
one StoreError with the remedy.
"""

from __future__ import annotations

import contextlib
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from wisecommittee.errors import StoreError
from wisecommittee.writing import REMEDIES

MAX_JSON = 16 << 20


MAX_FILE = 4 << 30


Stamp = tuple[int, int, int]  # time of the last change, bytes, number: changes when a file does


_PERMISSION = "no permission; change its owner or mode, or choose another place for the store"


_REFUSALS = {
    errno.ENOSPC: "the disk is full; free some space and run again, whole parts are kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, whole parts are kept",
    errno.EFBIG: "larger than a file may be here; raise the limit or use another place, then run again",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "a read-only file system; choose another place for the store",
    errno.ENOTDIR: "a file stands where the store needs a folder; move it, or choose another place for the store",
    errno.EEXIST: "a file stands where the store needs a folder; move it, or choose another place for the store",
    errno.EISDIR: "a folder stands where the store needs a file; move it, then run again",
    errno.ENAMETOOLONG: "longer than a file name may be; choose a shorter name",
    errno.EMFILE: f"too many open files; {REMEDIES[errno.EMFILE]}",
    errno.ENFILE: f"too many open files on this machine; {REMEDIES[errno.ENFILE]}",
}


class Files(ABC):
    """Files below one root; every path is relative to it and uses '/'.

    uri : the root as given, without credentials. local : the root, where it is a folder of this machine.
    """

    uri: str
    local: Path | None = None

    def uri_of(self, path: str) -> str:
        """The URI of a path, as messages name it."""
        text = f"{self.uri.partition('?')[0].rstrip('/')}/{path}" if path else self.uri
        return text.encode("utf-8", "backslashreplace").decode()

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            number = error.errno if isinstance(error, OSError) else None
            said = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
            refusal = _REFUSALS.get(number or 0, f"{said}; check that it can be reached, then run again")
            raise StoreError(f"{self.uri_of(path)}: {refusal}") from error

    @abstractmethod
    def exists(self, path: str = "") -> bool: ...

    @abstractmethod
    def stamp(self, path: str) -> Stamp | None:
        """A value that changes when the file does; None if there is no file."""

    @abstractmethod
    def names(self, path: str = "") -> list[str]:
        """Sorted names directly below a folder; empty if there is none."""

    @abstractmethod
    def stamps(self, path: str, name: str) -> dict[str, Stamp]:
        """{folder: stamp of the file `name` in it} of all folders directly below `path` that have one."""

    def odd(self, path: str = "") -> dict[str, str]:
        """{name: description} of everything directly below a folder that is neither a file nor a folder with a UTF-8
        name."""
        return {}

    def is_link(self, path: str) -> bool:
        return False

    @abstractmethod
    def read(self, path: str, limit: int = MAX_FILE) -> bytes:
        """The bytes of a file; FileNotFoundError if there is none."""

    @abstractmethod
    def write(self, path: str, data: bytes | memoryview) -> None:
        """Write a whole file, in place of the one that is there. The caller holds the lock that covers it."""

    @abstractmethod
    def delete(self, path: str) -> None: ...

    @abstractmethod
    def delete_folder(self, path: str) -> None: ...

    def delete_temporaries(self, path: str) -> None:
        """Delete the temporary files of killed writers in a folder; the caller holds the lock or the turn that covers
        its files."""
        return  # an object exists as a whole or not at all

    @abstractmethod
    def lock(self, path: str, what: str) -> AbstractContextManager[None]:
        """One writer at a time on a local disk, until its process ends or dies. A no-op on object stores."""

    @abstractmethod
    def turn(self, folder: str, owner: str, what: str) -> AbstractContextManager[Callable[[], None]]:
        """A block of operations in a folder that no other process interrupts; waits for earlier turns. owner : one
        word.

        Gives a function to call before any operation that needs the turn: it raises if the turn was lost.
        """

    def _check_size(self, path: str, size: int, limit: int) -> None:
        if size > limit:
            raise StoreError(
                f"{self.uri_of(path)}: {size:,} bytes; expected {limit:,} at most; no store writes that, restore it"
            )
