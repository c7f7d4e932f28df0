"""Cases in worker processes under a watch: a worker that dies or does not answer is a failure of its case, too."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TESTS = Path(__file__).parent.parent
STARTING = 300.0  # seconds a worker has to make its sound files, compiling included


@dataclass(frozen=True, slots=True)
class Failure:
    """kind, seed : of the case; damage : what was done; what : what the product did."""

    kind: str
    seed: int
    damage: str
    what: str

    def __str__(self) -> str:
        return f"make fuzz-case KIND={self.kind} SEED={self.seed}\n  {self.damage}\n  {self.what.strip()}"


def failures(kind: str, seeds: Iterable[int], patience: float) -> Iterator[Failure]:
    """The cases of these seeds in which the product did something wrong; patience : seconds for each."""
    worker: _Worker | None = None
    try:
        for seed in seeds:
            worker = worker or _Worker(kind)
            try:
                damage, failure = "", None
                damage = worker.ask(patience, seed)
                failure = worker.ask(patience)
            except _LostError as lost:
                failure = f"{lost}\n{worker.said()}"
                worker.end()
                worker = None
            if failure is not None:
                yield Failure(kind, seed, damage, failure)
    finally:
        if worker is not None:
            worker.end()


class _LostError(Exception):
    """A worker that does not answer."""


class _Worker:
    def __init__(self, kind: str) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.read = b""
        paths = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": paths, "WISECOMMITTEE_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "fuzz.worker", kind]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment
        )
        ready = self._line(STARTING)
        if ready != "ready":
            said = self.said()
            self.end()
            raise RuntimeError(f"the worker for {kind} does not start: {ready}\n{said}")

    def ask(self, patience: float, seed: int | None = None) -> Any:
        """The next answer, after a case was asked for; _LostError says what became of the worker."""
        assert self.process.stdin is not None
        try:
            if seed is not None:
                self.process.stdin.write(f"{seed}\n".encode())
                self.process.stdin.flush()
            line = self._line(patience)
        except BrokenPipeError:
            line = ""
        if line is None:
            raise _LostError(f"no end after {patience:g} s")
        if not line:
            raise _LostError(f"the worker died with {self.process.wait()}")
        return json.loads(line)

    def _line(self, patience: float) -> str | None:
        """A line without its end, '' if there is none to come, None if it does not come in time."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + patience
        while b"\n" not in self.read:
            if not select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                return ""
            self.read += more
        line, _, self.read = self.read.partition(b"\n")
        return line.decode()

    def said(self) -> str:
        """The end of what the worker wrote on stderr."""
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-4000:]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()
