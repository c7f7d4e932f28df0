"""The parameters that an adaptive policy has for one set of stages, checked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wisecommittee.committees.fields import shown
from wisecommittee.committees.policies.feature_terms import objects
from wisecommittee.committees.policy import MOST_STAGES, Route
from wisecommittee.committees.posterior import STOPPING, TERMS, Floats, Posterior, value_size
from wisecommittee.errors import CommitteeError

FIELDS = {"stages", "bias", "votes", "corrections", "weights", "stopping", "next"}
MOST = 1e9  # of any parameter


@dataclass(frozen=True, slots=True)
class KnownState:
    """A set of stages that a unit can have run.

    Parameters
    ----------
    stages : tuple of int
        Ascending.
    posterior : Posterior
    stopping : float64 [STOPPING]
        What is added to the largest probability, for each of the first features of the value: how often the likeliest
        answer is right in truth.
    values : tuple of (int, float64 [d])
        Every stage that can run next, with a number for each feature of its value.
    """

    stages: Route
    posterior: Posterior
    stopping: Floats
    values: tuple[tuple[int, Floats], ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any], answers: int, classes: int, *, by_answer: bool) -> KnownState:
        """The state that `to_json` wrote, with lists as tuples; CommitteeError for anything else.

        answers, classes : number of answers and of classes of the policy; 0 classes where the answers of the members
        are the classes.
        """
        if not {"stages", "bias", "votes", "stopping"} <= set(data) <= FIELDS:
            raise CommitteeError(f"states: fields {shown(sorted(data))}; expected {', '.join(sorted(FIELDS))}")
        stages = data["stages"]
        if (
            not isinstance(stages, tuple)
            or not stages
            or not all(type(k) is int and 0 <= k < MOST_STAGES for k in stages)
        ):
            raise CommitteeError(f"states: stages {shown(stages)}; expected whole numbers from 0")
        if any(a >= b for a, b in itertools.pairwise(stages)):
            raise CommitteeError(f"states: stages {shown(stages)}; expected an ascending list")
        size = len(stages)
        answers, classes = (answers, classes) if classes else (size, size + 1)
        corrections = weights = None
        if data.get("corrections"):
            given = numbers(data["corrections"], (size, answers, TERMS, classes), "corrections")
            corrections = np.concatenate([given, np.zeros((size, 1, TERMS, classes))], axis=1)
        if data.get("weights"):
            weights = numbers(data["weights"], (size,), "weights")
        bias, votes = numbers(data["bias"], (classes,), "bias"), numbers(data["votes"], (size, TERMS), "votes")
        stopping = numbers(data["stopping"], (STOPPING,), "stopping")
        length, values = value_size(size, answers, classes, by_answer=by_answer), []
        for each in objects(data.get("next", ()), "next"):
            if set(each) != {"stage", "value"} or type(each["stage"]) is not int or each["stage"] in stages:
                raise CommitteeError(f"states: next {shown(each)}; expected a further stage and its value")
            values.append((each["stage"], numbers(each["value"], (length,), "value")))
        if len({stage for stage, _ in values}) < len(values):
            raise CommitteeError(f"states: next {shown(data['next'])}; expected each stage once")
        return cls(stages, Posterior(bias, votes, corrections, weights), stopping, tuple(values))

    def to_json(self) -> dict[str, Any]:
        """The fields of a state in committee.json, with numbers of six digits."""
        posterior = self.posterior
        out = {"stages": self.stages, "bias": short(posterior.bias), "votes": short(posterior.votes)}
        if posterior.corrections is not None:
            out["corrections"] = short(posterior.corrections[:, :-1])
        if posterior.weights is not None:
            out["weights"] = short(posterior.weights)
        out["stopping"] = short(self.stopping)
        return out | {"next": tuple({"stage": stage, "value": short(value)} for stage, value in self.values)}


def numbers(value: Any, shape: tuple[int, ...], name: str, *, most: float = MOST) -> Floats:
    """float64 of this shape, from nested tuples; CommitteeError for anything else."""
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(None)
    if array.shape != shape or array.dtype.kind not in "iuf" or not (np.abs(array) < most).all():
        raise CommitteeError(f"states: {name} {shown(value)}; expected {list(shape)} numbers")
    return array.astype(np.float64)


def short(array: Floats) -> Any:
    """An array as nested tuples of numbers of six digits."""
    if array.ndim > 1:
        return tuple(map(short, array))
    return tuple(float(f"{number:.6g}") for number in array.tolist())
