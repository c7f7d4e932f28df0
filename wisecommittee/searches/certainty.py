"""The confidence of a committee in what it answers each unit, and committees that abstain by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import reaches
from wisecommittee.committees.scale import Scale
from wisecommittee.committees.walk import walk
from wisecommittee.searches.exits import StoredBatch, exits, statistics_of
from wisecommittee.searches.stages.exit_table import ExitTable, committee_tables
from wisecommittee.searches.stages.pool import Pool

Pair = tuple[float, float | None]  # (confidence, log-odds or None) of a threshold


@dataclass(frozen=True, slots=True)
class Certainty:
    """Confidences of n units where they exit.

    Parameters
    ----------
    place : int64 [n]
        The stage at which each unit exits, from 0; the stages of the second part of a mixture follow those of the
        first.
    score : float32 [n]
        Confidence in the answer, as it is carried.
    scales : {place: Scale}
        On which the confidences of a place are carried.
    """

    place: NDArray[np.int64]
    score: NDArray[np.float32]
    scales: Mapping[int, Scale]

    def of_units(self, units: NDArray[np.int64]) -> Certainty:
        return replace(self, place=self.place[units], score=self.score[units])

    def reach(self, least: Sequence[Pair | None]) -> NDArray[np.bool_]:
        """bool [n]: which units the thresholds of all places let have an answer; None: no unit of that place."""
        out = np.zeros(len(self.score), np.bool_)
        for place, pair in enumerate(least):
            if pair is not None and place in self.scales:
                (threshold,) = self.scales[place].carried([pair[0]], [pair[1]])
                out |= (self.place == place) & reaches(self.score, threshold)
        return out


def certainty(table: ExitTable, committee: Committee) -> Certainty:
    """The confidences of the units of an exit table that has those after the last stage."""
    out = Certainty(np.empty(table.units, np.int64), np.empty(table.units, np.float32), {})
    scales: dict[int, Scale] = {}
    starts = np.cumsum([0, *(len(part.stages) for part in committee.parts)]).tolist()
    numbers = {id(part): number for number, part in enumerate(committee.parts)}
    everyone = StoredBatch(table, committee, np.arange(table.units))
    for route, batch, rows, _, state in walk(committee, everyone):
        units = batch.units[rows]
        place = starts[numbers[id(batch.committee)]] + route[-1]
        score, scales[place] = batch.committee.policy.certainty(state)
        out.place[units], out.score[units] = place, score[rows]
    return replace(out, scales=scales)


def judged(pool: Pool, committee: Committee) -> tuple[Certainty, NDArray[np.float64]]:
    """The confidence of a committee in its answer to each unit, and float64 [N] how right that is, in [0, 1]."""
    (table,) = committee_tables(pool, [committee], predict=committee.answers, score_last=True)
    right = statistics_of(table, pool.task, exits(table, committee))[:, 0] / np.float64(pool.task.scale)
    return certainty(table, committee), right


def abstaining(committee: Committee, least: Sequence[Pair | None]) -> Committee:
    """The committee that answers only the units that these thresholds of all places let have an answer."""
    parts, start = [], 0
    for part in committee.parts:
        stop = start + len(part.stages)
        policy = Abstaining.of(part.policy, least[start:stop])
        parts.append(part.altered(policy=policy))
        start = stop
    if not isinstance(committee.policy, Mixing):
        return parts[0]
    return committee.altered(policy=replace(committee.policy, parts=tuple(parts)))


def answering(committee: Committee) -> Committee:
    """The committee that answers every unit, and else does what this one does."""
    if isinstance(committee.policy, Mixing):
        parts = tuple(map(answering, committee.parts))
        return committee.altered(policy=replace(committee.policy, parts=parts))
    if not isinstance(committee.policy, Abstaining):
        return committee
    return committee.altered(policy=committee.policy.policy)
