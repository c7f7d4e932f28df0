"""The smallest ensemble that is right, unit by unit (Li et al. 2023, Fig. 1(b)): most units need one model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wisecommittee.analyses.replica_ensembles import by_architecture, reporting_pool
from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError, UsageError
from wisecommittee.searches.stages.stage_tables import tables_for


@dataclass(frozen=True, slots=True)
class SmallestEnsemble:
    """first[k] : share of units for which the ensemble of the first k + 1 replicas is the smallest that is right;
    never : share for which none is."""

    architecture: str
    split: str
    n: int
    first: tuple[float, ...]
    never: float


def smallest_ensembles(study: Study) -> tuple[SmallestEnsemble, ...]:
    """The shares of every architecture with replicas, by the cost of one replica; members join in replica order."""
    pool = reporting_pool(study)
    if not pool.task.counts:
        raise UsageError("units must be right or wrong here; graded answers are neither")
    members = {name: models for name, models in by_architecture(pool.cards).items() if len(models) > 1}
    if not members:
        raise AbsentError(
            "every architecture has one replica; train more and name them b3/0, b3/1 "
            "(`wisecommittee train pool --replicas 8` does so for the digits pool)"
        )
    ensembles = [models[:k] for models in members.values() for k in range(1, len(models) + 1)]
    tables = tables_for(pool, ensembles, threads=study.threads, progress=study.progress)
    out = []
    for name, models in members.items():
        right = tables.correct.rows(tables.nodes(models[: k + 1] for k in range(len(models)))) > 0
        first = np.where(right.any(axis=0), right.argmax(axis=0), len(models))
        counts = np.bincount(first, minlength=len(models) + 1)
        shares = [int(count) / pool.units for count in counts]
        out.append((pool.cost.worst(np.array([models[:1]]))[0],
                    SmallestEnsemble(name, pool.split, pool.units, tuple(shares[:-1]), shares[-1])))  # fmt: skip
    return tuple(e for _, e in sorted(out, key=lambda pair: (pair[0], pair[1].architecture)))
