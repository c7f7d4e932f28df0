"""The beam and the greedy search over a hundred models, and what they lose against the exhaustive search where it fits.

The exhaustive search over all hundred is out of reach (94 million sequences of four), so the loss is measured on random
sub-pools of 20: at every cost of the exhaustive frontier (100 levels per stage), how much less quality is found at no
higher cost. Negative losses are gains: the beam's thresholds are not bound to the grid.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.synthetic import Synthetic
from wisecommittee.committees.cards import Contents, StoredCard
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.search import search

FAMILIES = 6  # of models that share errors beyond those everybody shares


class ManyModels(Synthetic):
    """Models of random size from a few families; cost spans a factor of 30 and buys accuracy only on average."""

    def __init__(self, models: int, units: int, classes: int, seed: int = 0) -> None:
        super().__init__(0, classes, seed)
        rng = np.random.default_rng(seed)
        self._labels = rng.integers(0, classes, units)
        self._outputs, self._cards = {}, {}
        ease = 0.6 * np.maximum(11.0 - 3.6 * rng.gamma(1.6, 1.0, units), 0.0)
        shared, *families = rng.standard_normal((1 + FAMILIES, units, classes), dtype=np.float32)
        for m in range(models):
            size, family = rng.uniform(0, 1), int(rng.integers(FAMILIES))
            own = rng.standard_normal((units, classes), dtype=np.float32)
            logits = np.float32(rng.uniform(0.8, 1.3)) * (0.6 * own + 0.5 * families[family] + 0.7 * shared)
            skill = 0.75 + 0.4 * size + 0.06 * rng.standard_normal()
            logits[np.arange(units), self._labels] += (skill * ease).astype(np.float32)
            name = f"m{m:03d}/0"
            self._outputs[name] = logits.astype(np.float32)
            cost = int(1e8 * 30**size * rng.uniform(0.8, 1.25))
            self._cards[name] = StoredCard(name, blocks={name: cost}, contents=Contents(units, classes, "float32", ""))


def losses(reference: Iterable[Evaluation], found: Iterable[Evaluation]) -> np.ndarray:
    """Quality of each reference point minus the best found at no higher cost; both by rising cost."""
    costs, qualities = zip(*((e.average_cost, e.quality) for e in found), strict=True)
    best = np.r_[0.0, np.maximum.accumulate(qualities)]
    return np.array([e.quality - best[bisect.bisect_right(costs, e.average_cost * (1 + 1e-12))] for e in reference])


def run(
    models: int = 100, units: int = 10_000, classes: int = 10, members: int = 4, subpools: int = 3, size: int = 20
) -> list[dict]:
    store = ManyModels(models, units, classes)
    cards = store.cards("val")

    def timed(method: str, some: Sequence[StoredCard]) -> tuple[float, Frontier]:
        names = [card.model for card in some]
        started = time.process_time()
        frontier = search(store, models=names, max_models=members, method=method, threads=2)  # type: ignore[arg-type]
        return time.process_time() - started, frontier

    for method in ("beam", "greedy", "exhaustive"):
        timed(method, cards[:6])  # compile
    lines, whole = [], []
    for method in ("beam", "greedy"):
        seconds, frontier = timed(method, cards)
        whole.append(frontier)
        lines.append(
            {
                "benchmark": f"{method}: committees of up to {members} of {models} models",
                "units": units,
                "classes": classes,
                "seed": 0,
                "combinations": frontier.searched["combinations"],
                "points": len(frontier),
                "cpu_seconds": round(seconds, 2),
            }
        )
    lines[-1]["largest_quality_loss_against_the_beam"] = round(float(losses(*whole).max()), 5)
    for seed in range(subpools):
        chosen = sorted(np.random.default_rng(seed).choice(models, size, replace=False))
        some = [cards[i] for i in chosen]
        exhaustive, grid = timed("exhaustive", some)
        for method in ("beam", "greedy"):
            seconds, frontier = timed(method, some)
            loss = losses(grid, frontier)
            lines.append(
                {
                    "benchmark": f"{method}: {size} of them (seed {seed})",
                    "cpu_seconds": round(seconds, 2),
                    "ratio": round(exhaustive / seconds, 1),
                    "opponent": "exhaustive, 100 levels",
                    "largest_quality_loss": round(float(loss.max()), 5),
                    "mean_quality_loss": round(float(loss.mean()), 5),
                }
            )
    return lines


if __name__ == "__main__":
    import json

    for line in run():
        print(json.dumps(line))
