"""A store's files on an object store (pyarrow.fs): a write is one PUT, and turns are taken by claims.

A process that lists no claim but its own has the turn. A claim shows signs of life: its owner writes it anew every few
seconds. One that does not change while another process watches it is removed, and its owner, should it live after all,
finds it gone before it writes anything.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pyarrow import fs

from wisecommittee.errors import BusyError, StoreError
from wisecommittee.store.storage.files import MAX_FILE, Files, Stamp

CLAIM = ".turn-"
TURN_BEAT = 5.0  # seconds between two signs of life
TURN_STALE = 60.0  # seconds of watching a claim without one
TURN_WAIT = 600.0  # seconds until waiting ends in an error
PATIENCE = 20  # seconds of retries of Google's client; its default is 15 minutes
SAID_AFTER = 5.0  # seconds of waiting after which a message says so
PARTING = 1.0  # seconds for cleaning up after Ctrl-C
HEEDED = 0.2  # seconds between two checks for Ctrl-C while waiting
now, pause = time.monotonic, time.sleep
_Result = TypeVar("_Result")


def _with_patience(uri: str) -> str:
    start, _, query = uri.partition("?")
    if not start.startswith(("gs://", "gcs://")) or "retry_limit_seconds" in query:
        return uri
    return f"{start}?{query}{'&' if query else ''}retry_limit_seconds={PATIENCE}"


def _say_waiting(uri: str) -> None:
    with contextlib.suppress(Warning):  # where warnings are errors, this thread is not the one to raise them
        warnings.warn(f"{uri}: waiting for the object store to answer", stacklevel=1)


def _parting() -> float | None:
    """Seconds that the caller may wait: few on its way out after Ctrl-C, else without limit."""
    return PARTING if isinstance(sys.exc_info()[1], KeyboardInterrupt) else None


def _heeding(call: Callable[[], _Result]) -> _Result:
    """The result of a call that waits for the object store. Ctrl-C would not end the call, so it runs in a thread that
    is abandoned after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return call()  # only the main thread receives Ctrl-C
    results: list[_Result] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    until = None if (parting := _parting()) is None else now() + parting
    threading.Thread(target=run, daemon=True).start()
    # Not one long wait: a signal that comes just before a wait begins is heard when it ends.
    while not ended.wait(HEEDED):
        if until is not None and now() >= until:
            raise KeyboardInterrupt
    if errors:
        raise errors[0]
    return results[0]


class ObjectFiles(Files):
    """Files on an object store. Every call that waits for it goes through `_heeding`."""

    def __init__(self, uri: str, given: str) -> None:
        self.uri = uri
        self.fs, path = _heeding(lambda: fs.FileSystem.from_uri(_with_patience(given)))
        self.root = path.rstrip("/")
        if not self.root:
            raise ValueError("no bucket is named")

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Says what is waited for, too."""
        waiting = threading.Timer(SAID_AFTER, _say_waiting, (self.uri,))
        waiting.daemon = True
        waiting.start()
        try:
            with super()._explained(path):
                yield
        finally:
            waiting.cancel()

    def _info(self, path: str) -> fs.FileInfo:
        with self._explained(path):
            return _heeding(lambda: self.fs.get_file_info(self._full(path)))

    def _list(self, path: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        with self._explained(path):
            selector = fs.FileSelector(self._full(path), allow_not_found=True, recursive=recursive)
            for _ in range(3):
                # A folder that comes or goes while it is listed is reported as missing in spite of allow_not_found.
                with contextlib.suppress(FileNotFoundError):
                    return _heeding(lambda: self.fs.get_file_info(selector))
            return []

    def exists(self, path: str = "") -> bool:
        return self._info(path).type != fs.FileType.NotFound

    def stamp(self, path: str) -> Stamp | None:
        info = self._info(path)
        return _stamp(info) if info.type == fs.FileType.File else None

    def names(self, path: str = "") -> list[str]:
        return sorted(info.base_name for info in self._list(path))

    def stamps(self, path: str, name: str) -> dict[str, Stamp]:
        start = len(self._full(path)) + 1
        stamps = {}
        for info in self._list(path, recursive=True):
            folder, _, file = info.path[start:].partition("/")
            if file == name and info.type == fs.FileType.File:
                stamps[folder] = _stamp(info)
        return stamps

    def read(self, path: str, limit: int = MAX_FILE) -> bytes:
        info = self._info(path)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(self.uri_of(path))
        self._check_size(path, info.size or 0, limit)
        with self._explained(path):
            return _heeding(lambda: self._get(path))

    def _get(self, path: str) -> bytes:
        with self.fs.open_input_file(self._full(path)) as source:
            return source.read()

    def write(self, path: str, data: bytes | memoryview) -> None:
        with self._explained(path):
            _heeding(lambda: self._put(path, data))

    def _put(self, path: str, data: bytes | memoryview) -> None:
        with self.fs.open_output_stream(self._full(path)) as sink:
            sink.write(data)

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(path):
            _heeding(lambda: self.fs.delete_file(self._full(path)))

    def delete_folder(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(path):
            _heeding(lambda: self.fs.delete_dir(self._full(path)))

    @contextlib.contextmanager
    def lock(self, path: str, what: str) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def turn(self, folder: str, owner: str, what: str) -> Iterator[Callable[[], None]]:
        claim = f"{folder}/{CLAIM}{owner}"
        watched: dict[str, tuple[Stamp, float]] = {}
        signs = (
            b"." * size for size in itertools.cycle(range(64))
        )  # a new size each time, because time stamps are whole seconds
        deadline = now() + TURN_WAIT
        ended = threading.Event()
        try:
            while not self._is_alone(folder, claim, watched, signs):
                if now() > deadline:
                    raise BusyError(f"{what}: others keep {self.uri_of(folder)} busy; wait for them, then run again")
                pause(random.uniform(0.01, 0.05))
            beating = threading.Thread(target=self._beat, args=(claim, signs, ended), daemon=True)
            beating.start()
            try:
                yield lambda: self._keep(claim, what)
            finally:
                ended.set()
                beating.join(_parting())
        finally:
            self.delete(claim)

    def _is_alone(self, folder: str, claim: str, watched: dict[str, Any], signs: Iterator[bytes]) -> bool:
        """Claim a turn. Of two claims the later listing sees both, so two never have it; all but the first by name step
        back meanwhile."""
        self.write(claim, next(signs))
        name_of_claim = claim.rpartition("/")[2]
        claims = {i.base_name: _stamp(i) for i in self._list(folder) if i.base_name.startswith(CLAIM)}
        others = []
        for name in claims.keys() - {name_of_claim}:
            stamp, since = watched.get(name, (None, 0.0))
            if stamp != claims[name]:
                watched[name] = claims[name], now()
                others.append(name)
            elif now() - since < TURN_STALE:
                others.append(name)
            else:
                self.delete(f"{folder}/{name}")
        if others and name_of_claim > min(others):
            self.delete(claim)
        return not others and name_of_claim in claims  # if it is gone, another process took this one for dead

    def _beat(self, claim: str, signs: Iterator[bytes], ended: threading.Event) -> None:
        while not ended.wait(TURN_BEAT):
            with contextlib.suppress(StoreError):  # the next one may get through
                if self.exists(claim):
                    self.write(claim, next(signs))

    def _keep(self, claim: str, what: str) -> None:
        if not self.exists(claim):
            raise BusyError(f"{what}: another process took this one for dead and went on; run again")


def _stamp(info: fs.FileInfo) -> Stamp:
    return info.mtime_ns or 0, info.size or 0, 0
