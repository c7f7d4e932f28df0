"""Ten searches without a fold each, over the stage tables of all units, against the sweeps of ten grids."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from benchmarks.synthetic import Synthetic
from benchmarks.timing import cpu_seconds
from wisecommittee.searches.folds import make_folds
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.cross_fit import CrossFit, FoldSearches, cross_fit
from wisecommittee.searches.resampling.robust import robust_problem
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import Threads
from wisecommittee.store import LogitStore

FOLDS = 10


def run(units: int = 25_000, classes: int = 10) -> list[dict]:
    solution = solution_of(cast(LogitStore, Synthetic(units, classes)), Query(), Execution(threads=1))
    problem = replace(solution.problem, tables=solution.tables)
    part = problem.of_units(np.flatnonzero(make_folds(problem.pool.labels, FOLDS, 0)))

    def grid() -> None:
        GridSearch(part.pool, part.tables, problem.candidates(), problem.query.levels).run(Threads(1))

    def folds() -> None:
        assert isinstance(cross_fit(FoldSearches(solution, FOLDS, 1, 0)), CrossFit)

    def robust_folds() -> None:
        assert isinstance(cross_fit(FoldSearches(solution, FOLDS, 1, 0, robust_problem)), CrossFit)

    once = cpu_seconds(grid)
    lines = []
    for name, action in (("folds", folds), ("folds of the robust choice", robust_folds)):
        spent = cpu_seconds(action, 1)
        lines.append(
            {
                "benchmark": f"{FOLDS} {name}, {units:,} units, 32 models, up to 4",
                "cpu_seconds": round(spent, 2),
                "ratio": round(spent / (FOLDS * once), 2),
                "opponent": f"{FOLDS} sweeps of the grid, {FOLDS * once:.2f} CPU s (at most 1 is the aim)",
            }
        )
    return lines
