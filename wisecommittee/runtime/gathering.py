"""Puts units that exit at different stages together again, in the order in which they came."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.committees.walk import Exits
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.charges import Charges
from wisecommittee.runtime.combination import Combination
from wisecommittee.runtime.decisions import Decisions


class Gathering:
    """The decisions on n units, until all have exited; start : the index of the first in their batches."""

    def __init__(self, charges: Charges, combination: Combination, units: int, start: int = 0) -> None:
        self.committee = committee = charges.committee
        self.charges, self.combination, self.left, self.start = charges, combination, units, start
        self.stage, self.ran = np.empty(units, np.int64), np.zeros((units, len(committee.stages)), np.bool_)
        self.failed = np.zeros_like(self.ran)
        self.confidence = np.zeros(units, np.float32)
        self.probabilities: NDArray[np.float32] | None = None
        self.answers: list[tuple[NDArray[np.int64], NDArray[np.generic]]] = []
        self.costs: dict[str, NDArray[np.float64]] = {}
        self._stages = {name: number for number, stage in enumerate(committee.stages) for name in stage}

    @property
    def index(self) -> NDArray[np.int64]:
        """int64 [n]: the indices of the units in their batches."""
        return self.start + np.arange(len(self.stage))

    def put(self, exits: Exits[RuntimeBatch]) -> None:
        """Units that exit."""
        batch, rows, policy = exits.batch, exits.rows, self.committee.policy
        at = batch.index[rows] - self.start
        said = {name: each.only(rows) for name, each in batch.said.items()}
        if said and all(each.rows is not None for each in said.values()):
            combined = self.combination.probabilities(said)
            if self.probabilities is None:
                self.probabilities = np.full((len(self.stage), combined.shape[1]), np.nan, np.float32)
            self.probabilities[at] = combined
        for cost, paid in self.charges.paid(batch.committee, exits.route, batch.ran, len(batch)).items():
            unknown = np.nan if cost == self.committee.cost else 0.0
            self.costs.setdefault(cost, np.full(len(self.stage), unknown))[at] = paid[rows]
        assert batch.judged is not None
        if exits.answer is not None or said:
            self.answers.append((at, as_given(exits)))
        self.confidence[at] = batch.judged.score[rows]
        route = exits.route if not isinstance(policy, Mixing) else policy.in_stages(batch.committee, exits.route)
        self.stage[at], self.ran[at[:, None], list(route)] = route[-1], True
        for name in batch.ran.keys() - said.keys():
            self.failed[at, self._stages[name]] = True
        self.left -= len(at)

    def decisions(self, classes: tuple[str, ...] | None) -> Decisions:
        """The decisions, once no unit is left."""
        kinds = [answer.dtype for _, answer in self.answers]
        none = self.combination.no_answer if not kinds else NO_TEXT if kinds[0].kind == "U" else NO_CLASS
        prediction = np.full(len(self.stage), none, np.result_type(*kinds) if kinds else None)
        for at, answer in self.answers:
            prediction[at] = answer
        has_confidence = self.combination.confidence != NO_CONFIDENCE
        probabilities = self.probabilities
        named = classes if probabilities is None or len(classes or ()) == probabilities.shape[1] else None
        return Decisions(
            prediction if prediction.dtype.kind == "U" else cast("NDArray[np.generic]", prediction.astype(np.int64)),
            self.stage,
            self.combination.scale.shown(self.confidence) if has_confidence else None,
            probabilities,
            self.ran,
            named,
            self.costs,
            self.failed,
        )


def as_given(exits: Exits[RuntimeBatch]) -> NDArray[np.generic]:
    """The predictions for units that exit: classes; or answers as the quoted member gave them, else the newest member
    whose answer is the same, and the answer as it is compared if there is none."""
    batch, rows = exits.batch, exits.rows
    assert batch.judged is not None
    answer = batch.judged.prediction[rows] if exits.answer is None else exits.answer
    if answer.dtype.kind != "U":
        return answer
    out = answer.astype(np.object_)
    policy = batch.committee.policy
    quoted = policy.quoted(exits.state) if policy.answers else None
    for number, ran in enumerate(batch.ran.values()):
        if ran.given is not None and ran.answers is not None:
            same = (ran.answers[rows] == answer) & (answer != NO_TEXT)
            chosen = same if quoted is None else same & (quoted[rows] == number)
            out[chosen] = ran.given[rows][chosen]
    return np.array(out.tolist()) if len(out) else answer
