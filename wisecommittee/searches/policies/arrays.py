"""What every model of a pool says of every unit by itself, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.scale import Scale
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import tables_for


@dataclass(frozen=True, slots=True)
class MemberArrays:
    """The models of a pool by themselves.

    Parameters
    ----------
    prediction : integer class or text [M, N]
    score : float32 [M, N]
        Confidence, carried on `scale`; higher is surer.
    worth : float64 [M, N]
        How right each prediction is, in [0, 1]: 0 or 1, or the grade.
    cost : float64 [M, N] or [M, 1]
        Cost of each model by itself, in units of the pool's cost; [M, 1] where it is the same for every unit.
    labels : integer class or text [N]
    scale : Scale
    """

    prediction: NDArray[np.generic]
    score: NDArray[np.float32]
    worth: NDArray[np.float64]
    cost: NDArray[np.float64]
    labels: NDArray[np.generic]
    scale: Scale

    @property
    def models(self) -> int:
        return self.prediction.shape[0]

    @property
    def units(self) -> int:
        return self.prediction.shape[1]


def member_arrays(pool: Pool, *, threads: int = 1) -> MemberArrays:
    """Read every model of a pool."""
    every = [(m,) for m in range(len(pool.cards))]
    tables = tables_for(pool, every, compared=every, predict=True, threads=threads)
    nodes = tables.nodes(every)
    assert tables.prediction is not None
    cost = np.stack([pool.cost.stages([[m]])[0] for m in range(len(pool.cards))]) * np.float64(pool.cost.unit)
    return MemberArrays(
        tables.prediction[nodes],
        tables.scores(every),
        tables.correct.rows(nodes) / np.float64(pool.task.scale),
        cost.reshape(len(pool.cards), -1),
        pool.labels,
        scale_of(pool.confidence),
    )
