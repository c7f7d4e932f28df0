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
            self.costs.setdefault(cost, np.zeros(len(self.stage)))[at] = paid[rows]
        assert batch.judged is not None
        if exits.answer is not None or said:
            self.answers.append((at, batch.judged.prediction[rows] if exits.answer is None else exits.answer))
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
