"""Writes files as a whole or not at all; every file of this project is written in this way."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from wisecommittee.errors import WiseCommitteeError

REMEDIES = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some space and run again",
    errno.EFBIG: "raise the limit or name another place, then run again",
    errno.EACCES: "change its owner or mode, or name another place",
    errno.EPERM: "change its owner or mode, or name another place",
    errno.EROFS: "name another place",
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "a file stands where its folder should be; name another place",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit with `ulimit -n 4096`, then run again",
    errno.ENFILE: "close other programs, then run again",
}


@contextlib.contextmanager
def written_whole(
    path: str | os.PathLike[str], refusal: type[WiseCommitteeError] = WiseCommitteeError
) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends without an error.

    refusal : the error, of one line, where the system does not let it be written.

    >>> with written_whole("committee.json") as file:     # doctest: +SKIP
    ...     file.write(text.encode())
    """
    try:
        if os.path.exists(path) and not os.path.isdir(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "a pipe or a device; expected the name of a file")
        with whole_file(path) as file:
            yield file
    except WiseCommitteeError:
        raise
    except Exception as error:
        refused = _system_error(error)
        if refused is None:
            raise
        raise refusal(f"cannot write {os.fspath(path)!r}: {reason(refused)}") from error


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], *, folder: int | None = None, sync: bool = True) -> Iterator[BinaryIO]:
    """As `written_whole`, with the OSError of the system. folder : descriptor of the folder `path` is relative to.
    sync : wait for the disk; without, a power failure may leave a file of that name that is not whole.

    The bytes go to a new file of a random name in the same folder, then to the disk, then it is renamed: a link at
    `path` is replaced and never followed, and two processes never share a temporary file.
    """
    parent, name = os.path.split(os.fspath(path))
    temporary = os.path.join(parent, temporary_name(name))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(temporary, flags, 0o666, dir_fd=folder), "wb")
    try:
        with file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if folder is None:
            os.replace(temporary, path)
        else:
            os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    if sync:
        with contextlib.suppress(OSError):
            _sync_folder(parent or ".", folder)


def temporary_name(name: str) -> str:
    """A name of its own for a file that will become `name`."""
    return f".{name[:40]}.{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def reason(error: OSError) -> str:
    """The message of the system, and the remedy."""
    said = error.strerror or str(error) or type(error).__name__
    remedy = REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy}" if remedy else said


def kind_of(mode: int) -> str:
    """A file's mode (os.stat) in words."""
    kinds = (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((words for is_kind, words in kinds if is_kind(mode)), "a device")


def _system_error(error: BaseException) -> OSError | None:
    """The OSError that an error is or was raised upon: torch complains of its own file first."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OSError):
        seen = seen.__cause__ or seen.__context__
    return seen


def _sync_folder(path: str, folder: int | None) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
