"""The distinct confidences of a stage, and the tiles that the exact mode cuts its units into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.scale import STORED, Scale
from wisecommittee.kernels.exact.gain_levels import number_confidences
from wisecommittee.kernels.exact.screening import TILES
from wisecommittee.searches.stages.stage_tables import StageTables


@dataclass(frozen=True, slots=True)
class TiledStage:
    """distinct : float32 [D] distinct confidences, ascending; number : int32 [N] which of them each unit has
    tile_of : uint8 [D] the tile of each distinct confidence; tiles : uint8 [N] the tile of each unit
    """

    distinct: NDArray[np.float32]
    number: NDArray[np.int32]
    tile_of: NDArray[np.uint8]
    tiles: NDArray[np.uint8]

    @classmethod
    def of(cls, score: NDArray[np.float32], wrong: NDArray[np.bool_] | None, scale: Scale = STORED) -> TiledStage:
        """score : float32 [N]; wrong : bool [N], units that the stage gets wrong. Each tile holds about as many of
        them: higher thresholds can gain only these units, and they make bounds loose. None: each tile holds as many
        units."""
        weights = np.ones(len(score), np.int64) if wrong is None else wrong * np.int64(64) + 1
        by_score = np.argsort(score)
        return cls(*number_confidences(scale.lowest(score[by_score]), by_score, weights, TILES))


def tiled_stages(tables: StageTables, scale: Scale) -> list[TiledStage]:
    """The stage of every row of confidences: scored prefixes, or members where scores are stored."""
    nodes = np.full(len(tables.score), -1)
    scored = np.flatnonzero(tables.score_row >= 0)
    nodes[tables.score_row[scored]] = scored
    stages = []
    for score, node in zip(tables.score, nodes.tolist(), strict=True):
        correct = None if node < 0 else tables.correct.row(node)
        stages.append(TiledStage.of(score, None if correct is None else correct < correct.max(), scale))
    return stages
