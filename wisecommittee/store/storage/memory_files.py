"""Files that are bytes in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from wisecommittee.store.storage.files import MAX_FILE, Files, Stamp


class MemoryFiles(Files):
    """Files that one process keeps in memory, for as long as it keeps this value."""

    def __init__(self) -> None:
        self.uri = "memory"
        self._files: dict[str, bytes] = {}
        self._writes = 0
        self._stamps: dict[str, Stamp] = {}

    def exists(self, path: str = "") -> bool:
        return not path or path in self._files or bool(self._below(path))

    def stamp(self, path: str) -> Stamp | None:
        return self._stamps.get(path)

    def names(self, path: str = "") -> list[str]:
        return sorted({name.split("/", 1)[0] for name in self._below(path)})

    def stamps(self, path: str, name: str) -> dict[str, Stamp]:
        below = {each: self.stamp("/".join(filter(None, (path, each, name)))) for each in self.names(path)}
        return {each: stamp for each, stamp in below.items() if stamp is not None}

    def read(self, path: str, limit: int = MAX_FILE) -> bytes:
        if path not in self._files:
            raise FileNotFoundError(path)
        self._check_size(path, len(self._files[path]), limit)
        return self._files[path]

    def write(self, path: str, data: bytes | memoryview) -> None:
        self._writes += 1
        self._files[path] = bytes(data)
        self._stamps[path] = self._writes, len(data), 0

    def delete(self, path: str) -> None:
        self._files.pop(path, None)
        self._stamps.pop(path, None)

    def delete_folder(self, path: str) -> None:
        for name in self._below(path):
            self.delete(f"{path}/{name}")

    def lock(self, path: str, what: str) -> AbstractContextManager[None]:
        return nullcontext()

    def turn(self, folder: str, owner: str, what: str) -> AbstractContextManager[Callable[[], None]]:
        return nullcontext(lambda: None)

    def _below(self, path: str) -> list[str]:
        """The paths of the files below a folder, relative to it."""
        start = f"{path}/" if path else ""
        return [name[len(start) :] for name in self._files if name.startswith(start)]
