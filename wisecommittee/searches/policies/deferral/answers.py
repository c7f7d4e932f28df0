"""Who can answer for a set of models: each unit's answer from a fit without its fold, and parameters from all units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.answering import weighted
from wisecommittee.committees.policies.evidence import Output
from wisecommittee.searches.policies.deferral.known import Known
from wisecommittee.searches.policies.deferral.ridge import ridge
from wisecommittee.searches.policies.deferral.weights import selected_weights
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables

Models = tuple[int, ...]  # in the order in which they run


@dataclass(frozen=True, slots=True)
class Answer:
    """output : for all units. worth : int32 [N], the statistic of each unit (tasks/task.py). parameters : of the fit to
    all units."""

    output: Output
    worth: NDArray[np.int32]
    parameters: NDArray[np.float64] | None = None


class Answers(ABC):
    """The answers of one kind (committees/policies/answering.py) for sets of models.

    `of` gives the answer after some models have run, `key` is equal for models with the same answer, and `to_json`
    writes the parameters for the stages of a chain.
    """

    kind: ClassVar[str]
    known: dict[Models, Answer]

    def of(self, models: Models) -> Answer:
        key = self.key(models)
        if key not in self.known:
            self.known[key] = self.fit(key)
        return self.known[key]

    def key(self, models: Models) -> Models:
        return tuple(sorted(models))

    @abstractmethod
    def fit(self, key: Models) -> Answer: ...

    @abstractmethod
    def to_json(self, stages: Sequence[Models]) -> dict[str, Any]:
        """stages : the models that have run after each stage."""


@dataclass(frozen=True, slots=True)
class RuleAnswers(Answers):
    """The combining rule answers. tables : with predictions, of all sets."""

    pool: Pool
    tables: StageTables
    known: dict[Models, Answer] = field(default_factory=dict)
    kind = "rule"

    def key(self, models: Models) -> Models:
        return models[-1:] if self.pool.combine.ordered else tuple(sorted(models))

    def fit(self, key: Models) -> Answer:
        assert self.tables.prediction is not None
        node, row = self.tables.node(key), self.tables.row(key)
        score = np.zeros(self.pool.units, np.float32) if row < 0 else self.tables.score[row]
        worth = self.tables.correct.row(node).astype(np.int32)
        return Answer(Output(self.tables.prediction[node], scale_of(self.pool.confidence).log(score)), worth)

    def to_json(self, stages: Sequence[Models]) -> dict[str, Any]:
        return {"kind": self.kind}


@dataclass(frozen=True, slots=True)
class PosteriorAnswers(Answers):
    """The most probable label answers."""

    pool: Pool
    members: Known
    classes: NDArray[np.generic]
    fold: NDArray[np.integer]
    known: dict[Models, Answer] = field(default_factory=dict)
    kind = "posterior"

    def fit(self, key: Models) -> Answer:
        labels = self.pool.labels.astype(self.classes.dtype)
        targets = (labels[:, None] == self.classes).astype(np.float64)
        found = ridge(self.members.evidence(key), targets, self.fold, together=True)
        label = self.classes[found.out_of_fold.argmax(axis=1)]
        worth = self.pool.task.statistics(label, self.pool.labels).astype(np.int32)
        return Answer(Output(label, found.out_of_fold.max(axis=1)), worth, found.coefficients)

    def to_json(self, stages: Sequence[Models]) -> dict[str, Any]:
        coefficients = []
        for models in stages:
            parameters = self.of(models).parameters
            assert parameters is not None
            coefficients.append(shortened(parameters[self.members.in_order(models)]))
        return {"kind": self.kind, "classes": tuple(self.classes.tolist()), "coefficients": tuple(coefficients)}


@dataclass(frozen=True, slots=True)
class WeightedAnswers(Answers):
    """The class with the largest weighted mean answers.

    outputs : float32 [N, C] log-probabilities of each model; mean : "logits" or "probabilities".
    """

    pool: Pool
    outputs: Sequence[NDArray[np.float32]]
    mean: str
    fold: NDArray[np.integer]
    known: dict[Models, Answer] = field(default_factory=dict)
    kind = "weights"

    def fit(self, key: Models) -> Answer:
        outputs, labels = [self.outputs[m] for m in key], self.pool.labels.astype(np.int64)
        folds = np.arange(self.fold.max() + 1)
        parts = np.concatenate([self.fold != folds[:, None], np.ones((1, len(labels)), np.bool_)])
        *without, weights = selected_weights(outputs, labels, self.mean, parts, seed=0)
        label, confidence = np.empty(len(labels), np.int64), np.empty(len(labels))
        for number in folds:
            rows = np.flatnonzero(self.fold == number)
            part = weighted([output[rows] for output in outputs], without[number], self.mean)
            label[rows], confidence[rows] = part
        worth = self.pool.task.statistics(label, self.pool.labels).astype(np.int32)
        return Answer(Output(label, confidence), worth, weights)

    def to_json(self, stages: Sequence[Models]) -> dict[str, Any]:
        weights = []
        for models in stages:
            parameters, key = self.of(models).parameters, self.key(models)
            assert parameters is not None
            weights.append(shortened(parameters[[key.index(m) for m in models]]))
        return {"kind": self.kind, "mean": self.mean, "weights": tuple(weights)}


def shortened(values: NDArray[np.float64]) -> Any:
    """Nested tuples of the numbers, with seven digits."""
    if values.ndim > 1:
        return tuple(map(shortened, values))
    return tuple(float(f"{value:.7g}") for value in values.tolist())
