"""What a committee says of every unit after its members so far, prepared for the rules of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policy import ALWAYS
from wisecommittee.committees.scale import LEAST, Scale
from wisecommittee.kernels.rules.known import NEVER, Known
from wisecommittee.searches.policies.rules.trees import Members
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import tables_for


@dataclass(frozen=True, slots=True)
class Said:
    """What is predicted, and how surely, after each of several sequences of members.

    Parameters
    ----------
    row : {members: int}
        The row of the arrays after these members; sequences with equal predictions and confidences share a row.
    known : Known
        Groups are predicted labels.
    score : float32 [T, N]
        Confidence, carried on `scale`.
    labels : integer class or text [G]
        Every label that is predicted, ascending.
    scale : Scale
    """

    row: dict[Members, int]
    known: Known
    score: NDArray[np.float32]
    labels: NDArray[np.generic]
    scale: Scale

    @property
    def units(self) -> int:
        return self.score.shape[1]


def said_after(pool: Pool, sequences: Sequence[Members], *, threads: int = 1) -> Said:
    """Read what pool models say together after each of these sequences."""
    tables = tables_for(pool, sequences, compared=sequences, predict=True, threads=threads)
    scale = scale_of(pool.confidence)
    assert tables.prediction is not None
    pairs = [(tables.node(sequence), tables.row(sequence)) for sequence in sequences]
    distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    nodes, rows = [node for node, _ in distinct], [row for _, row in distinct]
    score = tables.score[rows]
    labels, group = np.unique(tables.prediction[nodes], return_inverse=True)
    rank, order = ranked(score, scale)
    rank[score == np.float32(LEAST)] = NEVER
    quality = tables.correct.rows(nodes) / np.float64(pool.task.scale)
    return Said(
        {sequence: distinct[pair] for sequence, pair in zip(sequences, pairs, strict=True)},
        Known(rank, group.reshape(score.shape).astype(np.int32), order, quality),
        score,
        labels,
        scale,
    )


def ranked(score: NDArray[np.float32], scale: Scale) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Ranks and orders of Known. score : float32 [T, N]; scores that rounding can confuse have one rank."""
    order = np.argsort(score, axis=1, kind="stable").astype(np.int32)
    rank = np.empty_like(order)
    for line, units, values in zip(rank, order, score, strict=True):
        line[units] = np.cumsum(np.diff(scale.lowest(values[units]), prepend=np.float32(-np.inf)) > 0) - 1
    return rank, order


def threshold(said: Said, row: int, units: NDArray[np.bool_], level: int) -> tuple[float | None, float | None]:
    """The threshold, and its log-odds or None, that parts these units where a level of ranks does.

    It lies midway between two of their confidences. None lets no unit exit, ALWAYS every unit that may. units : bool
    [N]; all if it has none.
    """
    rank, score = said.known.rank[row], said.score[row]
    if not units.any():
        units = np.ones_like(units)
    if (rank[units] == NEVER).all():
        return None, None
    above, below = units & (rank >= level), units & (rank < level)
    if level == 0 or not below.any():
        return ALWAYS, None
    if not above.any():
        return None, None
    upper = score[rank == rank[above].min()].min()
    return said.scale.between(score[below].max(), upper)
