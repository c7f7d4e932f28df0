"""The exit table of one committee: score, statistics and cumulative cost of K stages x N units."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables, tables_for


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


def assemble(tables: StageTables, stages: Sequence[Sequence[int]]) -> ExitTable:
    """The exit table of these stages, each of one or several tiers, from stage tables that hold all its prefixes."""
    pool, combinations = tables.pool, running(stages)
    nodes = tables.nodes(combinations)
    if pool.task.width > 1:
        newest = [pool.stored(pool.members(combination)[-1]) for combination in combinations]
        stats = np.stack([pool.task.statistics(pool.task.read(model), pool.labels) for model in newest])
    else:
        stats = tables.correct.rows(nodes).astype(np.int32)[:, :, None]
    prediction = None if tables.prediction is None else tables.prediction[nodes]
    further = tuple((charges, charges.stages(stages)) for charges in pool.further)
    return ExitTable(scores(tables, combinations), stats, pool.cost.stages(stages), prediction, further)


def scores(tables: StageTables, combinations: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """float32 [K, N] confidences after these stages; 0 after the last and where they are never compared."""
    score = np.zeros((len(combinations), tables.pool.units), np.float32)
    for k, combination in enumerate(combinations[:-1]):
        row = tables.row(combination)
        if row >= 0:  # the prefixes of an ensemble are never compared
            score[k] = tables.score[row]
    return score


def running(stages: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The tiers a unit has run after each stage."""
    return [tuple(step for stage in stages[: k + 1] for step in stage) for k in range(len(stages))]


def committee_tables(pool: Pool, committees: Sequence[Committee], *, predict: bool = False) -> list[ExitTable]:
    """Exit tables of committees of pool members, straight from the stored outputs, in one pass over them."""
    tables = prefix_tables(pool, committees, predict=predict)
    return [assemble(tables, stage_indices(pool, committee)) for committee in committees]


def prefix_tables(
    pool: Pool, committees: Sequence[Committee], *, predict: bool = False, threads: int = 1
) -> StageTables:
    """Stage tables of every prefix of these committees."""
    by_committee = [running(stage_indices(pool, committee)) for committee in committees]
    combinations = itertools.chain.from_iterable(by_committee)
    compared = itertools.chain.from_iterable(stages[:-1] for stages in by_committee)
    return tables_for(pool, combinations, compared=compared, predict=predict, threads=threads)


def stage_indices(pool: Pool, committee: Committee) -> list[list[int]]:
    """The stages of a committee as indices of models."""
    try:
        return [[pool.index(model) for model in stage] for stage in committee.stages]
    except StopIteration:
        raise CommitteeError(f"{committee.label()}: not all of its members are in the pool") from None
