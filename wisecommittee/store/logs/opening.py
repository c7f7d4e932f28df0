"""The files of a log: found in a folder, and opened whether packed or not. What they unpack to is bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from wisecommittee.errors import AbsentError, ContentError, WiseCommitteeError
from wisecommittee.reading import ANY_SIZE, MOST_UNPACKED, open_regular
from wisecommittee.store.logs.metering import METER

BEGINNING = 1 << 16  # bytes by which the format of a file is recognised
_PACKED: dict[str, Callable[[BinaryIO, str], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)  # of a packed file that is cut off or no such file


def plain_name(path: Path) -> str:
    """The name of a file without '.gz', '.bz2' or '.xz'."""
    return path.stem if path.suffix in _PACKED else path.name


def files_of(path: Path, *patterns: str) -> list[Path]:
    """The file itself, or all files in a folder and the folders below whose names match a pattern, sorted.

    Parameters
    ----------
    path : Path
    *patterns : str
        Shell patterns of names, such as 'samples_*.jsonl'. A packed file matches by its name without '.gz'. Names that
        begin with '.' are left out.

    Returns
    -------
    list of Path
        At least one. A link to a file or folder inside the folder counts once, as what it leads to.

    Raises
    ------
    AbsentError
        There is no such file or folder, or no file in it matches.
    ContentError
        A link leads out of the folder.
    """
    if not path.is_dir():
        if not path.exists():
            raise AbsentError(f"{path}: no such file or folder; name another")
        return _counted([path])
    found: dict[Path, Path] = {}  # {what the links lead to: path}
    for inner in sorted(_below(path), key=lambda file: (file.is_symlink(), file)):
        if any(fnmatchcase(plain_name(inner), pattern) for pattern in patterns):
            found.setdefault(inner.resolve(), inner)
    if not found:
        raise AbsentError(f"{path}: no file in this folder is named {' or '.join(patterns)}; name another folder")
    return _counted(sorted(found.values()))


def _counted(files: list[Path]) -> list[Path]:
    if (meter := METER.get()) is not None:
        meter.sizes |= {file: file.stat().st_size for file in files}
    return files


def _below(root: Path) -> Iterator[Path]:
    """Files in the folders below, but those whose names begin with '.'; ContentError for links that lead out."""
    inside = root.resolve()
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*folders, *files]:
            path = Path(folder, name)
            if path.is_symlink() and not name.startswith(".") and not path.resolve().is_relative_to(inside):
                raise ContentError(
                    f"{path}: a link that leads out of {root}; expected files and links inside the folder; name the "
                    f"folder that it leads to"
                )
        yield from (Path(folder, name) for name in files if not name.startswith("."))


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a file; ContentError where it is damaged or unpacks to implausibly many."""

    def __init__(self, packed: BinaryIO, path: Path) -> None:
        self._packed, self._path = packed, path
        size = os.fstat(packed.fileno()).st_size
        self._most = max(ANY_SIZE, MOST_UNPACKED * size)
        self._content = _PACKED[path.suffix](packed, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._content.read(len(buffer))
        except _DAMAGE as damage:
            kind = self._path.suffix[1:]
            raise ContentError(
                f"{self._path}: no whole {kind} file ({str(damage)[:100]}); fetch or write it again"
            ) from None
        self._most -= len(data)
        if self._most < 0:
            raise ContentError(
                f"{self._path}: unpacks to more than {MOST_UNPACKED} times its size; unpack it first, and name that"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._packed.close()
        super().close()


def open_bytes(path: Path) -> BinaryIO:
    """A regular file, plain, .gz, .bz2 or .xz, opened for reading its unpacked bytes."""
    source = open_regular(path)
    if (meter := METER.get()) is not None:
        meter.follow(path, source)
    if path.suffix not in _PACKED:
        return source
    return io.BufferedReader(_Unpacked(source, path), 1 << 20)


def open_text(path: Path) -> TextIO:
    """As `open_bytes`, for UTF-8 text with or without a byte order mark; line endings stay as they are (for `csv`)."""
    return io.TextIOWrapper(open_bytes(path), "utf-8-sig", newline="")


def beginning(path: Path) -> bytes:
    """The first unpacked bytes of a file, at most BEGINNING; b'' for what cannot be read. Never raises."""
    try:
        with open_bytes(path) as source:
            return source.read(BEGINNING)
    except (WiseCommitteeError, OSError, ValueError):
        return b""


def first_files(path: Path, *patterns: str, most: int = 20) -> list[Path]:
    """The file itself, or some files in a folder whose names match a pattern, at most `most`: by these a format is
    recognised. Never raises."""
    try:
        if not path.is_dir():
            return [path]
        inside = (file for file in path.rglob("*") if not file.name.startswith(".") and file.is_file())
        return list(islice((f for f in inside if any(fnmatchcase(plain_name(f), p) for p in patterns)), most))
    except OSError:
        return []
