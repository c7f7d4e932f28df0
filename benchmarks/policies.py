"""Every kind of policy on tables of real answers, chosen on one half of the units and measured on the other.

`python -m benchmarks.policies FOLDER ..` takes folders with labels.npy, preds_MODEL.npy, conf_MODEL.npy and meta.json
(cost_usd_per_10k of every model), as the tables of FrugalML (Chen, Zaharia and Zou 2020) are published. Units are split
as there: np.random.seed(s), np.random.permutation(n), the first half chooses, for five seeds. Every kind may mix two
neighbours on the hull of its frontier, for an average budget in expectation; budgets lie between the costs of the
cheapest and of the best single model. A folder published_output with curves of FrugalML is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wisecommittee import LogitStore, Query, import_answers
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.hull import hull
from wisecommittee.searches.methods import fitting
from wisecommittee.searches.search import solve
from wisecommittee.searches.strategies.problem import Problem, pose
from wisecommittee.searches.workers.execution import Execution

SEEDS = (1, 5, 10, 50, 100)
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way from the cheapest to the best single model
PER = 10_000  # calls that a cost is printed for


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one kind of policy: quality and cost over cost's budget, float64 [splits, budgets]; CPU seconds of a
    search."""

    quality: NDArray[np.float64]
    overshoot: NDArray[np.float64]
    seconds: float


def stored(folder: Path, store: str) -> Problem:
    """The problem of a folder's table, all units in one split."""
    labels, meta = np.load(folder / "labels.npy"), json.loads((folder / "meta.json").read_text())
    ids = np.arange(len(labels)).astype(str)
    tables = [
        pd.DataFrame(
            {
                "unit_id": ids,
                "model": model,
                "answer": np.load(folder / f"preds_{model}.npy").astype(str),
                "confidence": np.load(folder / f"conf_{model}.npy").astype(float),
                "usd": about["cost_usd_per_10k"] / PER,
            }
        )
        for model, about in meta["models"].items()
    ]
    pd.concat(tables).to_csv(f"{store}.csv", index=False)
    pd.DataFrame({"unit_id": ids, "label": labels.astype(str)}).to_csv(f"{store}.labels.csv", index=False)
    import_answers(LogitStore(store), "val", f"{store}.csv", labels=f"{store}.labels.csv")
    return pose(LogitStore(store), Query(), Execution(threads=1))


def measured(problem: Problem, kinds: Sequence[str], budgets: Sequence[float]) -> dict[str, Measured]:
    """Figures of every kind that fits, at these average costs."""
    quality: dict[str, list[list[float]]] = {}
    cost: dict[str, list[list[float]]] = {}
    seconds: dict[str, float] = {}
    for seed in SEEDS:
        np.random.seed(seed)  # noqa: NPY002  (the published splits are of this generator)
        order = np.random.permutation(problem.pool.units)  # noqa: NPY002
        half = len(order) // 2
        train, test = problem.of_units(np.sort(order[:half])), problem.pool.of_units(np.sort(order[half:]))
        fit, _ = fitting(train)
        for kind, (of_kind, strategy) in fit.items():
            if kinds and kind not in kinds:
                continue
            started = time.process_time()
            frontier = solve(of_kind, strategy).frontier
            seconds[kind] = seconds.get(kind, 0) + (time.process_time() - started) / len(SEEDS)
            corners = hull(list(frontier))
            true = evaluate_in(test, [each.committee for each in corners], 1)
            at = [_mixed(corners, true, budget) for budget in budgets]
            quality.setdefault(kind, []).append([q for q, _ in at])
            cost.setdefault(kind, []).append([c for _, c in at])
    return {
        kind: Measured(np.array(quality[kind]), np.array(cost[kind]) / np.array(budgets) - 1, seconds[kind])
        for kind in quality
    }


def _mixed(chosen: Sequence[Evaluation], true: Sequence[Evaluation], budget: float) -> tuple[float, float]:
    """(quality, cost) on new units, in expectation, of the mixture of two neighbours that meets the budget on the units
    that choose."""
    costs = [each.average_cost for each in chosen]
    at = int(np.searchsorted(costs, budget))
    if at == 0 or at == len(costs):
        only = true[min(at, len(costs) - 1)]
        return only.quality, only.average_cost
    share = (budget - costs[at - 1]) / (costs[at] - costs[at - 1])
    low, high = true[at - 1], true[at]
    return (
        (1 - share) * low.quality + share * high.quality,
        (1 - share) * low.average_cost + share * high.average_cost,
    )


def single_costs(problem: Problem) -> tuple[float, float]:
    """The costs of the cheapest and of the most accurate model."""
    from wisecommittee.searches.policies.arrays import member_arrays

    arrays = member_arrays(problem.pool)
    cost = arrays.cost.mean(axis=1)
    return float(cost.min()), float(cost[arrays.worth.mean(axis=1).argmax()])


def published(folder: Path, budgets: Sequence[float]) -> NDArray[np.float64] | None:
    """float64 [splits, budgets]: accuracy of FrugalML's published curves, linear between their points."""
    out = []
    for seed in SEEDS:
        at = [
            next((folder / "published_output").glob(f"*_randseed_{seed}_*_optname_FrugalML_{what}.txt"), None)
            for what in ("budget", "acc")
        ]
        if at[0] is None or at[1] is None:
            return None
        out.append(np.interp(np.array(budgets) * PER, np.loadtxt(at[0]), np.loadtxt(at[1])))
    return np.array(out)


def show(budgets: Sequence[float], figures: Mapping[str, Measured], beside: NDArray[np.float64] | None) -> None:
    """The table of one folder: means over splits, the gain over thresholds with its paired standard error, and by how
    much the average cost exceeds the budget."""
    first = figures.get("thresholds")
    print(f"{'USD per 10k calls':20}" + "".join(f"{budget * PER:>24.4g}" for budget in budgets))
    if beside is not None:
        print(f"{'FrugalML, published':20}" + "".join(f"{100 * q:>24.2f}" for q in beside.mean(axis=0)))
    for kind, each in figures.items():
        line = f"{kind:20}"
        for k, quality in enumerate(each.quality.mean(axis=0)):
            gain = ""
            if first is not None and each is not first:
                difference = 100 * (each.quality[:, k] - first.quality[:, k])
                error = difference.std(ddof=1) / np.sqrt(len(difference))
                gain = f" {difference.mean():+.2f} +-{error:.2f}"
            line += f"{100 * quality:.2f}{gain}".rjust(24)
        print(line)
        error = each.overshoot.std(axis=0, ddof=1) / np.sqrt(len(each.overshoot))
        shown = zip(each.overshoot.mean(axis=0), error, strict=True)
        over = "".join(f"{100 * o:+.2f}% +-{100 * e:.2f}".rjust(24) for o, e in shown)
        print(f"{'  cost over budget':20}{over}   {each.seconds:.1f} CPU s a search")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--kinds", default="", help="only these kinds of policies, comma-separated")
    options = parser.parse_args()
    kinds = [kind for kind in options.kinds.split(",") if kind]
    print(
        "accuracy in percent on the half that did not choose; gain over thresholds, +- paired standard error (5 splits)"
    )
    for folder in options.folders:
        with tempfile.TemporaryDirectory() as scratch:
            problem = stored(folder, f"{scratch}/store")
            low, best = single_costs(problem)
            budgets = [low + share * (best - low) for share in SHARES]
            if (folder / "published_output").is_dir():
                budgets = [2.5 / PER, 5 / PER, 7.5 / PER, best]
            print(f"\n{folder.name}: {problem.pool.units:,} units, {len(problem.cards)} models")
            show(budgets, measured(problem, kinds, budgets), published(folder, budgets))


if __name__ == "__main__":
    main()
