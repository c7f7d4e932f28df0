"""Timing shared by the benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_seconds(action: Callable[[], object], repeats: int = 3) -> float:
    """Least CPU time of all threads over several runs."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        action()
        best = min(best, time.process_time() - started)
    return best
