"""Who answers for the members that have run: the combining rule, a learned posterior over labels, or weighted means.

Each of them gives an Output: a label and a confidence, higher is surer, for every unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import shown
from wisecommittee.committees.policies.evidence import Output, labels_of, linear, numbers
from wisecommittee.committees.policy import State
from wisecommittee.committees.scale import MOST, ODDS, PLAIN, Scale
from wisecommittee.errors import CommitteeError

Evidence = NDArray[np.float64]  # [n, F], of the members that have run


class Answering(Protocol):
    """needs : the fields of a State that it reads beside members and member_scores. numbers_per_unit : about how many
    numbers it holds for each unit."""

    @property
    def needs(self) -> frozenset[str]: ...

    @property
    def numbers_per_unit(self) -> int: ...

    def output(self, state: State, evidence: Evidence) -> Output:
        """After the newest stage of the state."""
        ...

    def certainty(self, output: Output) -> tuple[NDArray[np.float32], Scale]:
        """The confidence float32 [n] of its outputs as it is shown, and the scale that it is carried on."""
        ...

    def check(self, sizes: Sequence[int], widths: Sequence[int]) -> None:
        """CommitteeError unless it fits sizes [K] members and widths [K] columns of evidence after each stage."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """The combining rule of the committee answers."""

    needs: ClassVar[frozenset[str]] = frozenset({"prediction"})
    numbers_per_unit: ClassVar[int] = 0

    def output(self, state: State, evidence: Evidence) -> Output:
        assert state.prediction is not None
        return Output(state.prediction, state.scale.log(state.scores[-1]))

    def certainty(self, output: Output) -> tuple[NDArray[np.float32], Scale]:
        raise NotImplementedError("the confidence of the combination is in the state")

    def check(self, sizes: Sequence[int], widths: Sequence[int]) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Posterior:
    """The label with the highest estimated probability answers; the first of equals.

    The probability that a label is right is estimated by least squares, linear in the evidence of the members (a linear
    probability model for each label).

    Parameters
    ----------
    classes : integer class or text [C]
        The labels that can be answered, ascending.
    coefficients : tuple of float64 [1 + F, C]
        For every stage.
    """

    classes: NDArray[np.generic]
    coefficients: tuple[NDArray[np.float64], ...]
    needs: ClassVar[frozenset[str]] = frozenset()

    @property
    def numbers_per_unit(self) -> int:
        return len(self.classes)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        classes = labels_of(data["classes"])
        if not len(classes) or not isinstance(data["coefficients"], tuple):
            raise CommitteeError("a posterior needs at least one class and coefficients for every stage")
        return cls(classes, tuple(_matrix(rows, len(classes)) for rows in data["coefficients"]))

    def output(self, state: State, evidence: Evidence) -> Output:
        probability = linear(evidence, self.coefficients[len(state.route) - 1])
        return Output(self.classes[probability.argmax(axis=1)], probability.max(axis=1))

    def certainty(self, output: Output) -> tuple[NDArray[np.float32], Scale]:
        return np.clip(output.confidence, 0, 1).astype(np.float32), PLAIN

    def check(self, sizes: Sequence[int], widths: Sequence[int]) -> None:
        found = [len(rows) for rows in self.coefficients]
        if found != [1 + width for width in widths]:
            raise CommitteeError(f"posterior with {found} rows; expected {[1 + width for width in widths]}")


@dataclass(frozen=True, slots=True)
class Weights:
    """The class with the largest weighted mean over the members answers (Caruana et al. 2004, Sec. 2).

    Parameters
    ----------
    mean : str
        "logits": of log-probabilities, which has the order of the mean of logits; "probabilities".
    weights : tuple of float64 [members]
        For every stage, of the members that have run.
    """

    mean: str
    weights: tuple[NDArray[np.float64], ...]
    needs: ClassVar[frozenset[str]] = frozenset({"outputs"})
    numbers_per_unit: ClassVar[int] = 0  # those of the outputs, which are there

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        if data["mean"] not in ("logits", "probabilities") or not isinstance(data["weights"], tuple):
            raise CommitteeError(f'mean {shown(data["mean"])}; expected "logits" or "probabilities", and "weights"')
        weights = tuple(np.array(numbers(stage, "weights")) for stage in data["weights"])
        if any((stage < 0).any() or not stage.sum() > 0 for stage in weights):
            raise CommitteeError("weights are at least 0, and one of each stage is above 0")
        return cls(data["mean"], weights)

    def output(self, state: State, evidence: Evidence) -> Output:
        return weighted([*state.outputs.values()], self.weights[len(state.route) - 1], self.mean)

    def certainty(self, output: Output) -> tuple[NDArray[np.float32], Scale]:
        return np.minimum(ODDS.of_log(output.confidence), MOST).astype(np.float32), ODDS

    def check(self, sizes: Sequence[int], widths: Sequence[int]) -> None:
        if [len(stage) for stage in self.weights] != list(sizes):
            raise CommitteeError(f"weights of {[len(w) for w in self.weights]} members; expected {list(sizes)}")


def weighted(outputs: Sequence[NDArray[np.float32]], weights: NDArray[np.float64], mean: str) -> Output:
    """The class with the largest weighted mean and the log-odds of its probability.

    outputs : float32 [n, C] log-probabilities of each member; mean : as of Weights.
    """
    total = np.zeros(outputs[0].shape)
    for rows, weight in zip(outputs, weights / weights.sum(), strict=True):
        total += weight * (rows if mean == "logits" else np.exp(rows.astype(np.float64)))
    logits = total if mean == "logits" else np.log(total)
    label = logits.argmax(axis=1)
    against = np.exp(logits - logits.max(axis=1, keepdims=True))
    against[np.arange(len(label)), label] = 0
    with np.errstate(divide="ignore"):
        return Output(label, -np.log(against.sum(axis=1)))


KINDS: dict[str, tuple[set[str], Any]] = {
    "rule": (set(), lambda data: Rule()),
    "posterior": ({"classes", "coefficients"}, Posterior.from_json),
    "weights": ({"mean", "weights"}, Weights.from_json),
}


def answering_from_json(data: Any) -> Answering:
    """From {"kind": .., its parameters}; CommitteeError for anything else."""
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise CommitteeError(f"answer {shown(data)}; expected an object with the kind {', '.join(KINDS)}")
    fields, make = KINDS[kind]
    if set(data) != fields | {"kind"}:
        raise CommitteeError(f"answer of kind {kind!r} with {sorted(data)}; expected {sorted(fields | {'kind'})}")
    answering: Answering = make(data)
    return answering


def _matrix(rows: Any, columns: int) -> NDArray[np.float64]:
    if not isinstance(rows, tuple) or not rows:
        raise CommitteeError(f"coefficients {shown(rows)}; expected rows of numbers")
    matrix = [numbers(row, "coefficients") for row in rows]
    if any(len(row) != columns for row in matrix):
        raise CommitteeError(f"coefficients of {len(matrix[0])} labels; expected {columns}")
    return np.array(matrix)
