"""Routers, cascades, and routers that choose between cascades, at equal average costs on units that did not choose.

`python -m benchmarks.routers STORE` takes a store with features; without one, a seeded log of 12 language models on
3,000 prompts is made, whose accuracy depends on the task, the length of the prompt, and both together. Every figure is
cross-fitted, mixtures of two neighbours on a frontier are allowed to all three, and differences are paired:

- cascade: one threshold on the confidence per stage (`--policy thresholds`);
- router: the features choose a single model (`--policy router --max-models 1`);
- both: the features choose a cascade, or all units run one (`--policy router`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from wisecommittee import LogitStore, Query, import_answers
from wisecommittee.analyses.policies import PolicyFigures, between_singles, figures_at
from wisecommittee.searches.methods import strategy_for
from wisecommittee.searches.resampling.cross_fit import CrossFit, FoldSearches, Skipped, cross_fit
from wisecommittee.searches.search import Solution, solve
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.workers.execution import Execution

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the way from the cheapest to the best single model
TASKS = ("chat", "code", "extraction", "law", "maths", "translation")
MODELS, PROMPTS = 12, 3000


def made_up(folder: str, seed: int = 0) -> LogitStore:
    """A store of a log: price and skill rise together, and every model has tasks that suit it."""
    rng = np.random.default_rng(seed)
    task, length = rng.integers(0, len(TASKS), PROMPTS), rng.gamma(2.0, 200.0, PROMPTS).round() + 10
    difficulty = rng.normal(size=PROMPTS) + rng.normal(0, 0.7, len(TASKS))[task]
    label = rng.integers(0, 4, PROMPTS)
    ids, tables = np.arange(PROMPTS).astype(str), []
    for m in range(MODELS):
        long = rng.normal(0, 0.4, len(TASKS))[task] * (np.log(length) - 5.8)  # a task may suit a model in short prompts
        skill = 0.25 * m + rng.normal(0, 0.5, len(TASKS))[task] + long - difficulty
        right = skill + rng.logistic(size=PROMPTS) > 0
        answer = np.where(right, label, (label + rng.integers(1, 4, PROMPTS)) % 4)
        confidence = 1 / (1 + np.exp(-(skill + rng.normal(0, 1.0, PROMPTS) + 0.7 * right)))
        usd = 2e-8 * 1.6**m * (length + 4 * rng.gamma(2.0, 60.0, PROMPTS))
        columns = {"unit_id": ids, "model": f"m{m:02}", "answer": answer.astype(str), "confidence": confidence}
        tables.append(pd.DataFrame(columns | {"usd": usd.round(9)}))
    pd.concat(tables).to_csv(f"{folder}/answers.csv", index=False)
    pd.DataFrame({"unit_id": ids, "label": label.astype(str)}).to_csv(f"{folder}/labels.csv", index=False)
    features = {"unit_id": ids, "length": length, "task": np.array(TASKS)[task]}
    pd.DataFrame(features).to_csv(f"{folder}/features.csv", index=False)
    store = LogitStore(f"{folder}/store")
    made = {"labels": f"{folder}/labels.csv", "features": f"{folder}/features.csv"}
    import_answers(store, "val", f"{folder}/answers.csv", **made)
    return store


def searched(store: LogitStore, query: Query, folds: int, seed: int) -> tuple[Solution, CrossFit]:
    """A search of all units, and the searches without each fold."""
    started = time.process_time()
    problem = pose(store, query, Execution(threads=1))
    solution = solve(problem, strategy_for(problem))
    crossfit = cross_fit(FoldSearches(solution, folds, 1, seed))
    if isinstance(crossfit, Skipped):
        raise SystemExit(crossfit.why)
    print(f"{query.policy}, up to {query.max_models} models: {time.process_time() - started:.1f} CPU s", flush=True)
    return solution, crossfit


def row(name: str, figures: Sequence[PolicyFigures]) -> str:
    cells = []
    for each in figures:
        gain = ""
        if each.gain is not None:
            low, high = (100 * end for end in each.gain.interval)
            gain = f" {100 * each.gain.mean:+.2f} [{low:+.2f}, {high:+.2f}]"
        cells.append(f"{100 * each.expected.quality:.2f}{gain}".rjust(30))
    return f"{name:10}" + "".join(cells)


def compare(store: LogitStore, options: argparse.Namespace) -> None:
    """Search all three, and print their figures at each budget with the paired differences."""
    most, seed = options.max_models, options.seed
    limited = Query(split=options.split, cost=options.cost)
    made = {
        "cascade": searched(store, replace(limited, policy="thresholds", max_models=most), options.folds, seed),
        "router": searched(store, replace(limited, policy="router", max_models=1), options.folds, seed),
        "both": searched(store, replace(limited, policy="router", max_models=most), options.folds, seed),
    }
    budgets = between_singles(made["cascade"][0].frontier, SHARES)
    over_cascade = [list(figures_at(budget, made, seed)) for budget in budgets]
    without = {name: made[name] for name in ("router", "both")}
    over_router = [list(figures_at(budget, without, seed))[1] for budget in budgets]
    pool = made["cascade"][0].problem.pool
    print(
        f"\n{pool.units:,} units, {len(pool.cards)} models; quality in percent, gains in points [95 % interval, paired]"
    )
    print(f"{'budget':10}" + "".join(f"{budget:>30.4g}" for budget in budgets))
    for number, name in enumerate(made):
        print(row(name, [figures[number] for figures in over_cascade]) + ("  over cascade" if number else ""))
    print(row("both", over_router) + "  over router")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="?", help="with features; by default a made-up log")
    parser.add_argument("--split", default="val")
    parser.add_argument("--cost", default="usd")
    parser.add_argument("--max-models", type=int, default=2, help="of a cascade")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(LogitStore(options.store) if options.store else made_up(folder, options.seed), options)


if __name__ == "__main__":
    main()
