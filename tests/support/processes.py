"""Processes that a test starts end with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

HUNG = 1800  # seconds after which a process is taken to hang; a slow machine is not one that hangs


@contextmanager
def ended(*processes: subprocess.Popen) -> Iterator[None]:
    """Whatever happens within, they are killed and their pipes closed: what is left open is found with the garbage of
    a later test, which then fails for it."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
