"""The distinct confidences of a prefix, and the tiles that the exact mode cuts its units into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.scale import STORED, Scale
from wisecommittee.kernels.exact.gain_levels import number_confidences
from wisecommittee.kernels.exact.screening import TILES
from wisecommittee.searches.stages.stage_tables import StageTables


@dataclass(frozen=True, slots=True)
class Confidences:
    """distinct : float32 [D] ascending; order : int32 [N] the number of each unit's; tile_of : uint8 [D] their tiles,
    by rising confidence; tiles : uint8 [N] those of the units."""

    distinct: NDArray[np.float32]
    order: NDArray[np.int32]
    tile_of: NDArray[np.uint8]
    tiles: NDArray[np.uint8]

    @classmethod
    def of(cls, score: NDArray[np.float32], wrong: NDArray[np.bool_] | None, scale: Scale = STORED) -> Confidences:
        """wrong : units that the prefix gets wrong. Tiles hold about as many of them each: they are what higher
        thresholds can gain, and what makes bounds loose."""
        weights = np.ones(len(score), np.int64) if wrong is None else wrong * np.int64(64) + 1
        by_score = np.argsort(score)
        return cls(*number_confidences(scale.lowest(score[by_score]), by_score, weights, TILES))


def confidences(tables: StageTables, scale: Scale) -> list[Confidences]:
    """Of every scored prefix, or of every member where scores are stored."""
    nodes = np.full(len(tables.score), -1)
    scored = np.flatnonzero(tables.score_row >= 0)
    nodes[tables.score_row[scored]] = scored
    out = []
    for score, node in zip(tables.score, nodes.tolist(), strict=True):
        right = None if node < 0 else tables.correct.row(node)
        out.append(Confidences.of(score, None if right is None else right < right.max(), scale))
    return out
