"""Where every unit of an exit table exits, and what it is answered: the walk of a committee over stored outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT, Route, State
from wisecommittee.committees.threshold_vectors import carried_vectors, exit_stages
from wisecommittee.committees.walk import walk
from wisecommittee.errors import CommitteeError
from wisecommittee.searches.stages.exit_table import ExitTable
from wisecommittee.tasks import Task

UNGRADED = (
    "may answer what no member does, and only the answers of members are graded; choose policy 'agreement', 'labels', "
    "'router' or 'thresholds'"
)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Units of an exit table (indices, int64 [n]) as a batch of a walk: no model runs, stages are looked up in the
    table."""

    table: ExitTable
    committee: Committee
    units: NDArray[np.int64]
    first_row: int = 0  # of a part's table within the table of the mixture

    def __len__(self) -> int:
        return len(self.units)

    def only(self, rows: NDArray[np.int64]) -> StoredBatch:
        return replace(self, units=self.units[rows])

    def of_part(self, number: int) -> tuple[StoredBatch, NDArray[np.int64]]:
        policy, parts = cast(Mixing, self.committee.policy), self.table.parts
        assert self.table.unit_ids is not None
        drawn = policy.drawn(self.table.unit_ids[self.units])
        first_row = sum(len(part.routes) for part in parts[:number])
        part = StoredBatch(parts[number], policy.parts[number], self.units, first_row)
        return part, np.flatnonzero(drawn == number)

    def run(self, route: Route, stage: int) -> State:
        table, policy, units = self.table, self.committee.policy, self.units
        scores = np.zeros((len(route), len(units)), np.float32)
        if policy.combines:
            rows = np.array([table.row_of[route[: n + 1]] for n in range(len(route))], np.int64)
            scores = table.score[rows[:, None], units]
        known = table.prediction if "prediction" in policy.needs and route else None
        ran = [model for k in route for model in self.committee.stages[k]]
        return State(
            route,
            len(self.committee.stages),
            scores,
            scale_of(self.committee.confidence),
            None if known is None else known[table.row_of[route], units],
            {model: table.members[model][units] for model in ran} if table.members else {},
            {model: table.member_scores[model][units] for model in ran} if table.member_scores else {},
            {model: table.outputs[model][units] for model in ran} if table.outputs else {},
            None if table.unit_ids is None else table.unit_ids[units],
            {name: values[units] for name, values in table.features.items()},
        )


class Exits(NamedTuple):
    """row : int64 [N], the row of the table whose stages each unit has run when it exits. answer : integer class or
    text [N], what the policy answers; None if the combination of the members answers. stat : int32 [N], the statistic
    of the answer where the members' answers are graded; else None."""

    row: NDArray[np.int64]
    answer: NDArray[np.generic] | None = None
    stat: NDArray[np.int32] | None = None


def exits_of(table: ExitTable, committees: Sequence[Committee]) -> Iterator[Exits]:
    """The exits of committees that share an exit table; faster for threshold vectors."""
    if all_thresholds(committees):
        yield from map(Exits, exit_stages(table.score, vectors_of(committees)))
    else:
        for committee in committees:
            yield exits(table, committee)


def exits(table: ExitTable, committee: Committee) -> Exits:
    """Walk the units of an exit table."""
    row, answers = np.empty(table.units, np.int64), []
    graded = any(part.member_stats for part in table.parts or (table,))
    stat = np.empty(table.units, np.int32) if graded else None
    for route, batch, rows, answer, state in walk(committee, StoredBatch(table, committee, np.arange(table.units))):
        units, within = batch.units[rows], batch.table.row_of[route]
        row[units] = batch.first_row + within
        if stat is not None:
            stat[units] = _graded(batch, units, within, state.only(rows))
        if committee.answers and answer is None:
            assert batch.table.prediction is not None, "the parts of this mixture need predictions"
            answer = batch.table.prediction[within, units]
        if answer is not None:
            answers.append((units, answer))
    if not answers:
        return Exits(row)
    every = np.empty(table.units, np.result_type(*(answer for _, answer in answers)))
    for units, answer in answers:
        every[units] = answer
    return Exits(row, every, stat)


def _graded(batch: StoredBatch, units: NDArray[np.int64], row: int, state: State) -> NDArray[np.int32]:
    """int32 [m]: the statistic of the answer to units that exit after this row of the table."""
    table, policy = batch.table, batch.committee.policy
    if not policy.answers:
        return table.stats[row, units, 0]
    if (quoted := policy.quoted(state)) is None:
        raise CommitteeError(f"policy {policy.kind!r} {UNGRADED}")
    every = np.stack([table.member_stats[model][units] for model in state.members])
    return np.asarray(every[quoted, np.arange(len(units))])


def statistics_of(
    table: ExitTable, task: Task, exits: Exits, out: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """int32 [N, S]: the statistics of what each unit is answered. out : is filled and returned."""
    row, units = exits.row, np.arange(table.units)
    if out is None:
        out = np.empty((table.units, task.width), np.int32)
    if exits.stat is not None:
        out[:] = exits.stat[:, None]
    elif exits.answer is not None:
        assert table.labels is not None, "the exit table of a policy that answers has labels"
        if not task.exact_match:
            raise CommitteeError(f"the policy {UNGRADED}")
        out[:] = task.statistics(exits.answer, table.labels)[:, None]
    else:  # one flat index is twice as fast as two
        np.take(table.stats.reshape(len(table.routes) * table.units, -1), row * table.units + units, axis=0, out=out)
    return out


def predictions_of(table: ExitTable, exits: Exits) -> NDArray[np.generic] | None:
    """Integer class or text [N]: what each unit is answered; None if the table has no predictions."""
    if exits.answer is not None or table.prediction is None:
        return exits.answer
    return np.asarray(table.prediction[exits.row, np.arange(table.units)])


def answered_units(committee: Committee, exits: Exits) -> NDArray[np.bool_] | None:
    """bool [N]: which units get an answer; None for a committee that always answers."""
    if exits.answer is None or not committee.abstains:
        return None
    return exits.answer != (NO_TEXT if exits.answer.dtype.kind == "U" else NO_CLASS)


def exit_rows(table: ExitTable, committee: Committee) -> NDArray[np.int64]:
    """int64 [N]: the row of the table whose stages each unit has run when it exits."""
    return exits(table, committee).row


def table_key(committee: Committee) -> object:
    """Equal for committees that can share an exit table."""
    parts = [
        (part.stages, None if all_thresholds([part]) else (part.policy.kind, part.routes, part.policy.needs))
        for part in committee.parts
    ]
    return tuple(parts)


def all_thresholds(committees: Sequence[Committee]) -> bool:
    return all(isinstance(committee.policy, Thresholds) for committee in committees)


def vectors_of(committees: Sequence[Committee]) -> NDArray[np.float32]:
    """float32 [n, K - 1]: the thresholds of committees with the same stages and confidence, as they are carried."""
    policies = [cast(Thresholds, committee.policy) for committee in committees]
    return carried_vectors(policies, committees[0].confidence)
