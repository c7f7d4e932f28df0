"""How far the reading of logs has come, for the time that is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO


@dataclass
class Meter:
    """How much of the files that are read in a `metered` block has been read, in bytes.

    sizes : {file: its size}, of the files that `files_of` found.
    """

    sizes: dict[Path, int] = field(default_factory=dict)
    _opened: dict[Path, BinaryIO] = field(default_factory=dict)

    def follow(self, path: Path, source: BinaryIO) -> None:
        """Count what is read of an open file."""
        self._opened[path] = source

    @property
    def total(self) -> int:
        return sum(self.sizes.values())

    @property
    def done(self) -> int:
        return sum(self.sizes.get(path, 0) if source.closed else source.tell() for path, source in self._opened.items())


METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """A block in which a Meter follows the reading of files."""
    token = METER.set(meter := Meter())
    try:
        yield meter
    finally:
        METER.reset(token)
