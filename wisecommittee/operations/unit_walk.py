"""One unit on its way through a committee: what is said after every route, and why the unit goes on or exits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.committees.policies.abstaining import has_certainty
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT, Route, State, extended, following
from wisecommittee.committees.reasons import Reason
from wisecommittee.committees.scale import Scale
from wisecommittee.operations.explanation import Answer, Said, Step
from wisecommittee.searches.exits import StoredBatch
from wisecommittee.searches.members import members_alone
from wisecommittee.searches.stages.exit_table import ExitTable, committee_tables
from wisecommittee.searches.stages.pool import Pool


@dataclass(slots=True)
class Traced:
    """A batch of one unit that keeps its states, in the order in which the stages ran."""

    batch: StoredBatch
    states: list[State] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.batch)

    def run(self, route: Route, stage: int) -> State:
        self.states.append(self.batch.run(route, stage))
        return self.states[-1]

    def only(self, rows: NDArray[np.int64]) -> Traced:
        return Traced(self.batch.only(rows), self.states)

    def of_part(self, number: int) -> tuple[Traced, NDArray[np.int64]]:
        part, rows = self.batch.of_part(number)
        return Traced(part, self.states), rows


@dataclass(frozen=True, slots=True)
class UnitWalk:
    """A unit in a committee, or in the part of a mixture that it runs.

    pool, table : of this unit alone; alone : what each member says by itself; classes : names, None if classes have
    numbers only.
    """

    part: Committee
    table: ExitTable
    pool: Pool
    alone: Mapping[str, Said]
    classes: tuple[str, ...] | None

    @property
    def start(self) -> Route | None:
        """The empty route where there are several first stages, else None."""
        after = following(self.part.routes, unordered=self.part.policy.unordered)
        return () if len(after[()]) > 1 else None

    def steps(self, states: list[State]) -> tuple[Step, ...]:
        """The stages that ran, from the states after each of them."""
        after = following(self.part.routes, unordered=self.part.policy.unordered)
        out, before = [], set[int]()
        for number, state in enumerate(states, start=1):
            (stage,) = set(state.route) - before
            before = set(state.route)
            condition, reasons = None, list[Reason]()
            if after.get(state.route):
                condition = self.part.conditions()[stage] if stage < len(self.part.stages) - 1 else None
                reasons = self.part.policy.reasons(state, self.part.confidence)
            step = self._step(stage, state.route, exits=number == len(states))
            out.append(Step(stage, step.members, step.answer, step.cost, step.exits, condition, tuple(reasons)))
        return tuple(out)

    def not_run(self, route: Route) -> tuple[Step, ...]:
        """The other stages, each after those before it where the policy runs them so."""
        out = []
        for stage in sorted(set(range(len(self.part.stages))) - set(route)):
            ahead = extended(route, stage, unordered=self.part.policy.unordered)
            known = ahead in self.table.row_of
            out.append(self._step(stage, ahead if known else None))
            route = ahead if known else route
        return tuple(out)

    def _step(self, stage: int, route: Route | None, *, exits: bool = False) -> Step:
        members = {model: self.alone[model] for model in self.part.stages[stage]}
        if route is None:
            return Step(stage, members, None, None)
        paid = self.table.cost[self.table.row_of[route]]
        return Step(stage, members, self.answer(route), self.pool.cost.true(int(np.ravel(paid)[0])), exits)

    def answer(self, route: Route) -> Said:
        """What the unit is answered if it exits after this route."""
        state = StoredBatch(self.table, self.part, np.arange(1)).run(route, route[-1])
        policy, row = self.part.policy, self.table.row_of[route]
        prediction = policy.answer(state) if policy.answers else None
        if prediction is None and self.table.prediction is not None:
            prediction = self.table.prediction[row]
        score, scale = None, state.scale
        if has_certainty(policy, self.pool.confidence_name):
            score, scale = policy.certainty(state)
        return said(prediction, score, scale, self.classes)


def alone_in(pool: Pool, committee: Committee, classes: tuple[str, ...] | None) -> dict[str, Said]:
    """{model: what it says by itself} for the only unit of a pool."""
    every = members_alone(committee) or [committee]
    scored = pool.confidence_name != NO_CONFIDENCE
    out = {}
    for each, table in zip(every, committee_tables(pool, every, predict=_predicts(pool), score_last=True), strict=True):
        (model,), scale = each.models, StoredBatch(table, each, np.arange(1)).run((0,), 0).scale
        prediction = None if table.prediction is None else table.prediction[0]
        out[model] = said(prediction, table.score[0] if scored else None, scale, classes)
    return out


def _predicts(pool: Pool) -> bool:
    return pool.task.width == 1


def said(
    prediction: NDArray[np.generic] | None,
    score: NDArray[np.float32] | None,
    scale: Scale,
    classes: tuple[str, ...] | None,
) -> Said:
    """From arrays of one unit; score : as it is carried on the scale."""
    answer = None if prediction is None else answer_of(prediction[0], classes)
    if score is None:
        return Said(answer)
    log_odds = float(scale.log(score)[0]) if scale.saturates else None
    return Said(answer, float(scale.shown(score)[0]), log_odds if log_odds is None or np.isfinite(log_odds) else None)


def answer_of(prediction: np.generic, classes: tuple[str, ...] | None) -> Answer:
    """A class, its name or a text; None for no answer."""
    value = prediction.item()
    if isinstance(value, str):
        return None if value == NO_TEXT else value
    return None if value == NO_CLASS else int(value) if classes is None else classes[int(value)]
