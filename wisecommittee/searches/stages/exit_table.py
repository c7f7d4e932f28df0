"""The exit table of one committee: score, statistics and cumulative cost of K stages x N units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import Confidence
from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.stage_tables import StageTables, correct_key, stage_tables
from wisecommittee.tasks import Segmentation


@dataclass(frozen=True, slots=True)
class ExitTable:
    """One committee over N units, ready to be evaluated.

    score : float32 [K, N]; higher exits earlier; row K-1 is not compared
    stats : int32 [K, N, S] additive statistics if unit i exits at stage k
    cost  : int64 [K] or [K, N]; cumulative integer cost if it exits at stage k (times CostModel.unit)
    prediction : int64 [K, N] class, or text [K, N] for answers; None where only figures were asked for
    further : every other cost, cumulative int64 [K]
    """

    score: NDArray[np.float32]
    stats: NDArray[np.int32]
    cost: NDArray[np.int64]
    prediction: NDArray[np.generic] | None = None
    further: tuple[tuple[CostModel, NDArray[np.int64]], ...] = ()


def score_row(pool: Pool, tables: StageTables, sequence: Sequence[int]) -> int:
    """Row of tables.score with the confidence after these stages; -1 if it is never compared."""
    if isinstance(pool.confidence, str):
        return pool.members(sequence)[-1]
    return int(tables.score_row[tables.prefixes.find[correct_key(pool, sequence)]])


def assemble(pool: Pool, tables: StageTables, stages: Sequence[Sequence[int]]) -> ExitTable:
    """The exit table of these stages, each of one or several tiers, from stage tables that hold all its prefixes."""
    sequences = running(stages)
    nodes = [tables.prefixes.find[correct_key(pool, sequence)] for sequence in sequences]
    if isinstance(pool.task, Segmentation):
        newest = [pool.store.outputs(pool.cards[sequence[-1]].model, pool.split) for sequence in sequences]
        stats = np.stack(newest).astype(np.int32)
    else:
        stats = tables.correct.rows(nodes).astype(np.int32)[:, :, None]
    prediction = None if tables.prediction is None else tables.prediction[nodes]
    further = tuple((charges, charges.stages(stages)) for charges in pool.further)
    return ExitTable(scores(pool, tables, sequences), stats, pool.cost.stages(stages), prediction, further)


def scores(pool: Pool, tables: StageTables, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """float32 [K, N] confidences after these stages; 0 after the last and where they are never compared."""
    score = np.zeros((len(sequences), pool.units), np.float32)
    for k, sequence in enumerate(sequences[:-1]):
        row = score_row(pool, tables, sequence)
        if row >= 0:  # the prefixes of an ensemble are never compared
            score[k] = tables.score[row]
    return score


def running(stages: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The tiers a unit has run after each stage."""
    return [tuple(step for stage in stages[: k + 1] for step in stage) for k in range(len(stages))]


def committee_tables(pool: Pool, committees: Sequence[Committee], *, predict: bool = False) -> list[ExitTable]:
    """Exit tables of committees of pool members, straight from the stored outputs, in one pass over them."""
    tables = prefix_tables(pool, committees, predict=predict)
    return [assemble(pool, tables, stage_indices(pool, committee)) for committee in committees]


def prefix_tables(
    pool: Pool, committees: Sequence[Committee], *, predict: bool = False, threads: int = 1
) -> StageTables:
    """Stage tables of every prefix of these committees."""
    every = [running(stage_indices(pool, committee)) for committee in committees]
    keys = {correct_key(pool, sequence) for sequences in every for sequence in sequences}
    compared = {correct_key(pool, sequence) for sequences in every for sequence in sequences[:-1]}
    trie = build_prefixes(keys)
    scored = np.zeros(len(trie), dtype=bool)
    if isinstance(pool.confidence, Confidence):
        scored[[trie.find[key] for key in compared]] = True
    return stage_tables(pool, trie, scored, predict=predict, threads=threads)


def stage_indices(pool: Pool, committee: Committee) -> list[list[int]]:
    """The stages of a committee as indices of models."""
    try:
        return [[pool.index(model) for model in stage] for stage in committee.stages]
    except StopIteration:
        raise CommitteeError(f"{committee.label()}: not all of its members are in the pool") from None
