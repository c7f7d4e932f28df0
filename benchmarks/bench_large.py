"""Exhaustive searches of many models and of long cascades, stage tables included: CPU time and peak of memory.

`python -m benchmarks large`; `large32` (863,040 sequences of 32 models), `large32x25k`, `five` and `five100` (five
members) are run where they are asked for.
"""

from __future__ import annotations

import resource
import time
from functools import partial

from benchmarks.bench_beam import ManyModels
from wisecommittee.committees.families import FAMILIES
from wisecommittee.searches.search import search
from wisecommittee.searches.workers.estimate import estimate


def run(models: int, units: int = 10_000, members: int = 4, levels: int = 100, classes: int = 10) -> dict:
    store = ManyModels(models, units, classes)
    cards = store.cards("val")
    some = [card.model for card in cards[:5]]
    search(store, models=some, max_models=4, levels=5, method="exhaustive", threads=2)  # type: ignore[arg-type]  # compile
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    found = search(store, max_models=members, levels=levels, method="exhaustive", threads=2)  # type: ignore[arg-type]
    seconds = time.process_time() - started
    guess = estimate(
        cards, units, FAMILIES["cascade"], max_models=members, levels=levels, replicas="canonical", ordered=False
    )
    return {
        "benchmark": f"exhaustive: up to {members} of {models} models, {levels} levels",
        "units": units,
        "classes": classes,
        "combinations": found.searched["combinations"],
        "threshold_vectors": found.searched["threshold_vectors"],
        "points": len(found),
        "cpu_seconds": round(seconds, 1),
        "estimated_cpu_seconds": round(guess.cpu_seconds, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "memory_before_gb": round(before / 1e6, 2),
        "estimated_memory_gb": round(guess.memory / 1e9, 2),
    }


CASES = {
    "large": partial(run, 20),
    "large32": partial(run, 32),
    "large32x25k": partial(run, 32, 25_000),
    "five": partial(run, 8, members=5, levels=50),
    "five100": partial(run, 8, members=5),
}
